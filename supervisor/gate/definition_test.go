package gate

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"rollbridge/supervisor/config"
)

func newDir(t *testing.T) Dir {
	t.Helper()
	return Dir(filepath.Join(t.TempDir(), "exec"))
}

// shell is the definition of a command.
func shell(command string) Definition {
	return Definition{
		Version: Version, ID: "a1", Unit: "rollbridge-shop.worker.v42.service", Want: Run,
		Daemon: []string{"PATH=" + os.Getenv("PATH")},
		Spec: config.Spec{
			Application: "shop", Process: "worker", Instance: "worker", Release: "v42", Generation: 1,
			Command: command, Restart: config.Restart{Max: config.Unlimited, Factor: 1},
		},
	}
}

func mustWrite(t *testing.T, d Dir, def Definition) {
	t.Helper()
	if err := d.Write(def); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, d Dir, id string) Definition {
	t.Helper()
	def, err := d.Read(id)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func TestADefinitionIsReadAsItWasWritten(t *testing.T) {
	d := newDir(t)
	want := shell("printf '%s' \"$A\"; echo $$ % \\ ünï\ncöde\t'")
	want.Spec.Env = []string{"A=\xff\xfe raw", "B=\x01"}
	want.Daemon = []string{"LATIN=caf\xe9"}
	want.Spec.Restart = config.Restart{Delay: time.Second, Max: 3, Factor: 1.5}
	want.Spec.Memory = &config.Memory{Limit: 5}
	want.Born = time.Now().UTC().Round(0)
	want.Start = Token{3, "memory"}
	mustWrite(t, d, want)
	got := mustRead(t, d, "a1")
	got.specText = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestRewritingLosesNothingOfANewerVersion(t *testing.T) {
	d := newDir(t)
	mustWrite(t, d, shell("true"))
	var newer map[string]any
	path := filepath.Join(string(d), "a1.json")
	text, _ := os.ReadFile(path)
	if err := json.Unmarshal(text, &newer); err != nil {
		t.Fatal(err)
	}
	newer["version"], newer["colour"], newer["instances"] = 2, map[string]any{"deep": []int{1}}, 5
	newer["spec"].(map[string]any)["Priority"] = 7
	text, _ = json.Marshal(newer)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}

	def := mustRead(t, d, "a1")
	def.Want, def.Instances = Drain, 0
	mustWrite(t, d, def)
	kept, _ := os.ReadFile(path)
	for _, want := range []string{`"colour":{"deep":[1]}`, `"Priority":7`, `"want":"drain"`, `"version":2`} {
		if !strings.Contains(string(kept), want) {
			t.Errorf("no %s in %s", want, kept)
		}
	}
	if strings.Contains(string(kept), "instances") {
		t.Errorf("a known field is kept as unknown: %s", kept)
	}

	def.Spec.Command = "false" // another release: its spec is ours alone
	mustWrite(t, d, def)
	if got := mustRead(t, d, "a1"); got.Spec.Command != "false" {
		t.Errorf("%+v", got.Spec)
	}
}

func TestReadersSeeWholeDefinitions(t *testing.T) {
	d := newDir(t)
	mustWrite(t, d, shell("true"))
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := d.Read("a1"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 100 {
		mustWrite(t, d, shell(strings.Repeat("x", n*50+1)))
	}
	close(done)
	readers.Wait()
}

func TestDefinitionsAreOursAlone(t *testing.T) {
	d := newDir(t)
	mustWrite(t, d, shell("true"))
	info, err := os.Stat(filepath.Join(string(d), "a1.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.Chmod(string(d), 0o711); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"write":  d.Write(shell("true")),
		"append": d.Append("a1", Record{Kind: Started}),
		"read":   second(d.Read("a1")),
		"list":   second(d.List()),
	} {
		if err == nil || !strings.Contains(err.Error(), "open to others: chmod 700") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestADirectoryOfSomebodyElseIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	d := newDir(t)
	mustWrite(t, d, shell("true"))
	if err := os.Chown(string(d), 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read("a1"); err == nil || !strings.Contains(err.Error(), "belongs to uid 1, not to uid 0") {
		t.Error(err)
	}
}

func TestAnUnusableDefinitionIsNamed(t *testing.T) {
	d := newDir(t)
	mustWrite(t, d, shell("true"))
	for text, want := range map[string]string{
		`{"version":1,"id":"a1","spec":{"Command":"x"}`: "unexpected end of JSON input",
		``:                                   "unexpected end of JSON input",
		`{"id":"a1","spec":{"Command":"x"}}`: "it has no version",
		`{"version":1,"id":"b","spec":{"Command":"x"}}`:  `it is that of "b"`,
		`{"version":1,"id":"a1","spec":{"Command":""}}`:  "it has no command",
		`{"version":1,"id":"a1","spec":{"Command":"x"}}`: "",
	} {
		if err := os.WriteFile(filepath.Join(string(d), "a1.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		switch _, err := d.Read("a1"); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.HasSuffix(err.Error(), "a1.json: unusable: "+want)):
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := d.Read("b2"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestOnlyLettersAndDigitsAreAnID(t *testing.T) {
	d := newDir(t)
	for _, id := range []string{"", "..", "../a", "a/b", "a.json", "ä", "a b", "a\n", strings.Repeat("a", 65)} {
		def := shell("true")
		def.ID = id
		if d.Write(def) == nil || second(d.Read(id)) == nil || d.Remove(id) == nil || d.Append(id, Record{}) == nil {
			t.Errorf("%q is taken for an id", id)
		}
	}
}

func TestListTellsWhatIsThereAndRemoveForgetsIt(t *testing.T) {
	d := newDir(t)
	if ids, err := d.List(); err != nil || len(ids) != 0 {
		t.Errorf("%v %v", ids, err)
	}
	for _, id := range []string{"b", "a1", "C9"} {
		def := shell("true")
		def.ID = id
		mustWrite(t, d, def)
		mustAppend(t, d, id, Record{Kind: Started})
	}
	if err := os.WriteFile(filepath.Join(string(d), "x.json.new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Remove("b"); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := d.List(); err != nil || strings.Join(ids, " ") != "C9 a1" {
		t.Errorf("%v %v", ids, err)
	}
	if left, _ := filepath.Glob(string(d) + "/b.*"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestTheIdentifierNamesReleaseAndGeneration(t *testing.T) {
	s := config.Spec{Application: "shop", Process: "worker", Instance: "worker#2", Release: "v42", Generation: 1}
	if got := Identifier(s); got != "shop.worker#2@v42" {
		t.Error(got)
	}
	s.Generation = 2
	if got := Identifier(s); got != "shop.worker#2@v42+2" {
		t.Error(got)
	}
}
