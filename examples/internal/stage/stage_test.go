package stage

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestExampleConfigurationCanBeAdapted(t *testing.T) {
	text, err := os.ReadFile("../../shop/rollbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Drain: 4 * time.Second, Health: 2 * time.Second}
	got, err := adapt(string(text), "/tmp/x", opt, "nobody", 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nuser: nobody\n", "  drainTimeoutMs: 4000", "  healthTimeoutMs: 2000", "  port: 0 ",
		"{from: 10300, to: 10379}", "{from: 10380, to: 10399}", `control: {path: "/tmp/x/control.sock"}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if _, err := adapt("application: other\n", "/tmp/x", opt, "", 3); err == nil {
		t.Error("another file was taken for the example's")
	}
}

func TestProcessesOnTheStageAreFound(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &Stage{dir: program[:strings.LastIndex(program, "/")]}
	pids, err := s.leftovers()
	if err != nil || len(pids) != 1 || pids[0] != os.Getpid() {
		t.Errorf("found %v %v, want only this test, %d", pids, err, os.Getpid())
	}
}

func TestResidentMemoryIsRead(t *testing.T) {
	if n, err := residentBytes(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
