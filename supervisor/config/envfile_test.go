package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// envDir is a directory that other users may enter, with files of a mode.
func envDir(t *testing.T, mode os.FileMode, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for parent := dir; strings.HasPrefix(parent, os.TempDir()+"/"); parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEnvironmentFilesLieBetweenInjectedAndOwn(t *testing.T) {
	dir := envDir(t, 0o600, map[string]string{"1": "A=1\nB=1\nC=1\nD=1\nHOME=1\n", "2": "B=2\nC=2\n"})
	s := Spec{
		User:     "4294000001", // nobody's
		Injected: []string{"D=injected", "E=injected"},
		EnvFiles: []EnvFile{{Path: dir + "/1"}, {Path: dir + "/missing", Optional: true}, {Path: dir + "/2"}, {Path: dir + "/1/below", Optional: true}},
		Env:      []string{"C=own"},
	}
	got := environment(t, []string{"A=daemon", "F=daemon"}, s)
	want := []string{"A=1", "F=daemon", "HOME=1", "USER=4294000001", "LOGNAME=4294000001", "SHELL=/bin/sh", "D=1", "E=injected", "B=2", "C=own"}
	if !slices.Equal(got, want) {
		t.Errorf(" got %q\nwant %q", got, want)
	}
}

func TestEnvironmentFilesAreReadAtEachStart(t *testing.T) {
	dir := envDir(t, 0o600, map[string]string{"e": "SECRET=old\n"})
	s := Spec{EnvFiles: []EnvFile{{Path: dir + "/e"}}}
	before := environment(t, nil, s)
	if err := os.WriteFile(dir+"/e", []byte("SECRET=new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if after := environment(t, nil, s); before[0] != "SECRET=old" || after[0] != "SECRET=new" {
		t.Errorf("%q, then %q", before, after)
	}
}

func TestUnusableEnvironmentFilesAreNamedButNotQuoted(t *testing.T) {
	dir := envDir(t, 0o600, map[string]string{
		"bad": "A=1\n\nhunter2\n", "quote": "A='hunter2", "long": "A=" + strings.Repeat("hunter2", maxEnvFile/7+1),
	})
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"bad":       "environment file DIR/bad: line 3 is no setting NAME=value",
		"quote":     "environment file DIR/quote: line 1 begins a quotation that does not end",
		"long":      "environment file DIR/long is larger than 1048576 bytes",
		"pipe":      "environment file DIR/pipe is not a regular file",
		".":         "environment file DIR/. is not a regular file",
		"missing":   "environment file DIR/missing does not exist; write -DIR/missing if it may be missing",
		"bad/below": "environment file DIR/bad/below does not exist; write -DIR/bad/below if it may be missing",
	} {
		_, err := Environment(nil, Spec{EnvFiles: []EnvFile{{Path: dir + "/" + file}}}, nil)
		if err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != want {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// The user that a deploy belongs to names the release directory, and so what
// lies there: what only root may read must not get into a process that way.
func TestFilesOfAReleaseAreReadWithTheRightsOfTheProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can read for others")
	}
	const uid, gid, group = 4294000001, 4294000002, 4294000003
	as := &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{group}}
	dir := envDir(t, 0o600, map[string]string{"root": "A=1\n", "own": "A=1\n", "group": "A=1\n", "other": "A=1\n", "rootgroup": "A=1\n"})
	for file, owner := range map[string][3]int{"own": {uid, 0, 0o400}, "group": {0, gid, 0o040}, "other": {0, group, 0o040}, "rootgroup": {0, 0, 0o040}} {
		path := filepath.Join(dir, file)
		if err := os.Chown(path, owner[0], owner[1]); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, os.FileMode(owner[2])); err != nil {
			t.Fatal(err)
		}
	}
	read := func(file string, asUser bool) error {
		_, err := Environment(nil, Spec{EnvFiles: []EnvFile{{Path: filepath.Join(dir, file), AsUser: asUser}}}, as)
		return err
	}
	for file, allowed := range map[string]bool{"root": false, "rootgroup": false, "own": true, "group": true, "other": true} {
		if err := read(file, true); (err == nil) != allowed {
			t.Errorf("%s: %v", file, err)
		}
		if err := read(file, false); err != nil {
			t.Errorf("%s, by the daemon: %v", file, err)
		}
	}
	err := read("root", true)
	want := "environment file " + dir + "/root may not be read by the process's user (uid 4294000001), with whose rights files of a release are read"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestEnvironmentFilesAreFoundBesideTheConfigurationAndInTheRelease(t *testing.T) {
	const src = `application: shop
proxy: {port: 1}
envFile: [common.env, "-/etc/{{application}}.env", "{{releasePath}}/.env"]
processes:
  - {id: web, policy: proxied, command: x, port: 1, envFile: "-.env.{{processId}}"}
  - {id: w, command: x, envFile: ["{{env.SECRETS}}/w", "{{ releasePath }}/../shared/.env"]}
  - {id: none, command: x}
`
	c := parse(t, src)
	v := renderVars
	v.LookupEnv = func(name string) (string, bool) { return "/run/secrets", name == "SECRETS" }
	common := []EnvFile{{Path: "/srv/shop/common.env"}, {Path: "/etc/shop.env", Optional: true}, {Path: "/srv/shop/r1/.env", AsUser: true}}
	for id, own := range map[string][]EnvFile{
		"web":  {{Path: "/srv/shop/r1/.env.web", Optional: true, AsUser: true}},
		"w":    {{Path: "/run/secrets/w"}, {Path: "/srv/shop/r1/../shared/.env", AsUser: true}},
		"none": nil,
	} {
		s, err := c.Render(c.Process(id), v)
		if want := append(slices.Clone(common), own...); err != nil || !reflect.DeepEqual(s.EnvFiles, want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", id, s.EnvFiles, err, want)
		}
	}
	v.LookupEnv = nil
	if _, err := c.Render(c.Process("w"), v); err == nil || err.Error() != "process w: envFile: Missing template value for {{env.SECRETS}}" {
		t.Error(err)
	}
}

func TestWarningsNameMissingFilesThatHaveToBeThere(t *testing.T) {
	dir := t.TempDir()
	src := `application: shop
proxy: {port: 1}
envFile:
  - common.env
  - ` + dir + `/there
  - -` + dir + `/optional
processes:
  - id: web
    policy: proxied
    command: x
    port: 1
    envFile: ` + dir + `/missing
  - {id: w, command: x, envFile: [in/the/release, "/x/{{releaseId}}"]}
`
	if err := os.WriteFile(dir+"/there", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems := Parse(dir+"/rollbridge.yaml", []byte(src), testOptions)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, strings.ReplaceAll(w.at()+" "+w.Message, dir, "DIR"))
		if w.Fix == "" || !strings.Contains(w.source, "env") && !strings.Contains(w.source, "missing") {
			t.Errorf("%+v", w)
		}
	}
	want := []string{
		"DIR/rollbridge.yaml:4:5 (envFile[0]) Environment file DIR/common.env does not exist",
		"DIR/rollbridge.yaml:12:14 (processes[0].envFile) Environment file DIR/missing does not exist",
	}
	if !slices.Equal(got, want) {
		t.Errorf(" got %q\nwant %q", got, want)
	}
}
