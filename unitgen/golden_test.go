package unitgen_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/unitgen"
)

var update = flag.Bool("update", false, "write the golden files")

func TestUnitsAreTheGoldenOnes(t *testing.T) {
	for _, version := range []int{252, 257} { // all they need is in the older one
		for _, s := range samples(system(version)) {
			compare(t, s.name+".unit", "# "+s.unit.Name+"\n"+s.unit.Text())
			compare(t, s.name+".bus", busText(s.unit))
		}
	}
}

func TestUnitOfAUserIsTheGoldenOne(t *testing.T) {
	h := unitgen.Host{Version: 257, Program: "/home/app/bin/rollbridge", Gates: "/run/user/1000/rollbridge/shop/exec", User: true}
	spec := worker()
	spec.User = ""
	unit := unitgen.Service(spec, "k3v9x2", h)
	compare(t, "user-manager.unit", "# "+unit.Name+"\n"+unit.Text())
	compare(t, "user-manager.bus", busText(unit))
}

func TestNothingOfTheCommandIsInTheUnit(t *testing.T) {
	spec := worker()
	spec.Command, spec.Dir = "run --password=SECRET", "/SECRET"
	spec.Stop.Lifecycle.Quiet = "SECRET"
	unit := unitgen.Service(spec, "k3v9x2", system(257))
	if text := unit.Text() + busText(unit); strings.Contains(text, "SECRET") {
		t.Error(text)
	}
}

func TestJSONHasThePropertiesInOrder(t *testing.T) {
	p := unitgen.Properties{
		{Name: "TimeoutStopUSec", Value: uint64(unitgen.Infinity)},
		{Name: "RestartUSec", Value: uint64(2e6)},
		{Name: "LogExtraFields", Value: [][]byte{[]byte("A=<b>")}},
		{Name: "ExecStart", Value: unitgen.ExecCommands{{Path: "/p", Argv: []string{"/p", "x"}}}},
		{Name: "RestartPreventExitStatus", Value: unitgen.ExitStatuses{Codes: []int32{}, Signals: []int32{62}}},
	}
	text, err := p.MarshalJSON()
	want := `{"TimeoutStopUSec":"infinity","RestartUSec":2000000,"LogExtraFields":["A=<b>"],` +
		`"ExecStart":[{"path":"/p","argv":["/p","x"],"ignoreFailure":false}],"RestartPreventExitStatus":{"codes":[],"signals":[62]}}`
	if got := strings.ReplaceAll(string(text), "\n", ""); err != nil || got != want || !json.Valid(text) {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

// compare fails when a golden file does not hold the text; with -update it is
// written.
func compare(t *testing.T, file, text string) {
	t.Helper()
	file = filepath.Join("testdata", file+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s differs; -update writes it. Now:\n%s", file, text)
	}
}
