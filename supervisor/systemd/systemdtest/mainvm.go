package systemdtest

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// vmVariable asks for emulated machines, which are slow: with the version of one,
// or anything else for all.
const vmVariable = "ROLLBRIDGE_TEST_VM"

// MainVM is like Main, with emulated machines instead of containers and without
// the sources. The programs of these packages are built and lie beside the test
// binary. Without ROLLBRIDGE_TEST_VM it does nothing.
func MainVM(m *testing.M, programs ...string) {
	flag.Parse()
	if Inside() || listing() {
		os.Exit(m.Run())
	}
	asked := os.Getenv(vmVariable)
	if asked == "" {
		fmt.Printf("NOT TESTED: emulated machines are slow: make test-vm\ntesting: warning: no tests to run\nPASS\n")
		os.Exit(0)
	}
	os.Exit(runInVMs(asked, programs))
}

func runInVMs(asked string, programs []string) int {
	job, err := makeJob(programs)
	if err != nil {
		return verdict(err)
	}
	defer os.RemoveAll(job)
	versions := Versions
	if slices.Contains(Versions, asked) {
		versions = []string{asked}
	}
	return runEach(versions, func(version string, out io.Writer) error { return runInVM(version, job, out) })
}

// makeJob makes a directory of this test binary and some programs.
func makeJob(programs []string) (job string, err error) {
	if job, err = os.MkdirTemp("", "rollbridge-job-"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(job)
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		return "", err
	}
	for _, program := range programs {
		cmd := exec.Command("go", "build", "-o", job+"/", program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", program, err, out)
		}
	}
	return job, os.WriteFile(filepath.Join(job, filepath.Base(self)), binary, 0o755)
}

// runInVM runs the test binary, which lies in the job's directory.
func runInVM(version, job string, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	run := "exec " + quote(testCommand("/tests", self, []string{"HOME=/root", insideVariable + "=" + version}))
	code, err := RunVM(context.Background(), version, job, run, out)
	if err == nil && code != 0 {
		err = fmt.Errorf("the tests on systemd %s failed: exit code %d", version, code)
	}
	return err
}

// quote writes a command line for the shell.
func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
