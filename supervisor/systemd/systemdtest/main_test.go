package systemdtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inside runs the test binary of testdata/inside, built for the occasion.
func inside(t *testing.T, env []string, args ...string) (out string, code int) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "inside.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Dir = "testdata/inside"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = build.Dir, append(os.Environ(), env...)
	b, err := cmd.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// needHosts skips tests of what works only where hosts do.
func needHosts(t *testing.T) {
	t.Helper()
	h, err := Boot(Versions[0])
	if err != nil {
		unavailable(t, err)
	}
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestTestsRunInAHostOfEachVersion(t *testing.T) {
	needHosts(t)
	out, code := inside(t, nil, "-test.v")
	for _, version := range Versions {
		for _, name := range []string{"TestTheManagerIsThatVersion", "TestTheManagerIsThatVersion/second", "TestTheSourcesAreAtHand", "TestTheBusMayRestart"} {
			if !strings.Contains(out, "--- PASS: "+version+"/"+name+" ") {
				t.Errorf("%s did not pass on %s", name, version)
			}
		}
	}
	if code != 0 || strings.Count(out, "\nPASS\n") != 1 {
		t.Errorf("exit code %d, output\n%s", code, out)
	}
}

func TestATestThatFailsOnOneVersionFailsTheWhole(t *testing.T) {
	needHosts(t)
	out, code := inside(t, []string{"ROLLBRIDGE_FAIL_ON=257"}, "-test.v", "-test.run=Fail")
	if code != 1 || !strings.Contains(out, "--- PASS: 252/TestFailWhereAsked") || !strings.Contains(out, "--- FAIL: 257/TestFailWhereAsked") ||
		!strings.HasSuffix(out, "\nFAIL\n") {
		t.Errorf("exit code %d, output\n%s", code, out)
	}
}

func TestWithoutHostsTestsFailInCIAndAreSkippedElsewhere(t *testing.T) {
	out, code := inside(t, []string{"PATH=/nowhere", "CI="})
	if code != 0 || !strings.Contains(out, "NOT TESTED: ") || os.Geteuid() == 0 && !strings.Contains(out, ": apt-get install systemd-container") {
		t.Errorf("exit code %d, output\n%s", code, out)
	}
	out, code = inside(t, []string{"PATH=/nowhere", "CI=true"})
	if code != 1 || !strings.HasSuffix(out, "\nFAIL\n") {
		t.Errorf("in CI: exit code %d, output\n%s", code, out)
	}
}

func TestRelabelledOutputNamesTheVersion(t *testing.T) {
	const said = "=== RUN   TestA\n\x16=== CONT  TestA/b\n    a_test.go:1: --- PASS: no\n    --- FAIL: TestA/b (0.00s)\nBenchmarkX 1\nok\nPASS\n\x16FAIL\nlast"
	const want = "=== RUN   9/TestA\n\x16=== CONT  9/TestA/b\n    a_test.go:1: --- PASS: no\n    --- FAIL: 9/TestA/b (0.00s)\nBenchmarkX 1\nok\nlast"
	var out bytes.Buffer
	relabel(&out, strings.NewReader(said), "9")
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestOnlyWhatIsMissingOutsideCIIsAnExcuse(t *testing.T) {
	lacking, failing := error(&needError{"no nspawn", "install it"}), errors.New("the tests failed")
	for _, c := range []struct {
		ci   string
		err  error
		want bool
	}{
		{"", lacking, true},
		{"", fmt.Errorf("boot: %w", errors.Join(lacking, lacking)), true},
		{"", failing, false},
		{"", errors.Join(lacking, failing), false},
		{"", fmt.Errorf("boot: %w", errors.Join(lacking, failing)), false},
		{"true", lacking, false},
	} {
		t.Setenv("CI", c.ci)
		if got := Excusable(c.err); got != c.want {
			t.Errorf("CI=%s: %v is an excuse: %v, want %v", c.ci, c.err, got, c.want)
		}
	}
}
