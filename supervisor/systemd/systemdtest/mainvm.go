package systemdtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vmVariable asks for emulated machines, which are slow.
const vmVariable = "ROLLBRIDGE_TEST_VM"

// MainVM is like Main, with emulated machines instead of containers and without
// the sources. Without ROLLBRIDGE_TEST_VM it does nothing.
func MainVM(m *testing.M) {
	flag.Parse()
	if Inside() || listing() {
		os.Exit(m.Run())
	}
	if os.Getenv(vmVariable) == "" {
		fmt.Printf("NOT TESTED: emulated machines are slow: make test-vm\ntesting: warning: no tests to run\nPASS\n")
		os.Exit(0)
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	os.Exit(runEach(func(version string, out io.Writer) error { return runInVM(version, self, out) }))
}

func runInVM(version, binary string, out io.Writer) error {
	job, err := os.MkdirTemp("", "rollbridge-job-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(job)
	text, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	run := "exec " + quote(testCommand("/tests", binary, []string{"HOME=/root", insideVariable + "=" + version}))
	if err := errors.Join(os.WriteFile(filepath.Join(job, filepath.Base(binary)), text, 0o755),
		os.WriteFile(filepath.Join(job, "run.sh"), []byte(run), 0o755)); err != nil {
		return err
	}
	code, err := RunVM(context.Background(), version, job, out)
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
