package systemdtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Main is the TestMain of a package whose tests must run on a machine with
// systemd, as root. Outside it runs this test binary once more in a host of each
// version, with the same flags and the sources at hand; the names of tests get
// the version in front. Inside it runs the tests.
func Main(m *testing.M) {
	flag.Parse()
	if Inside() || flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	os.Exit(Run(self))
}

// Run runs a test binary in a host of each version with the flags of this one,
// and prints what it says as if it were the outcome of this one. The environment
// has this one's ROLLBRIDGE_, CI and Go variables, and those given. The result is
// the exit code.
func Run(binary string, env ...string) int {
	module, dir, err := findModule()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binds := []string{binary + ":/run-tests", module + ":/src"}
	argv := append([]string{"env", "--chdir=" + filepath.Join("/src", dir)}, passedEnvironment()...)
	argv = append(append(argv, env...), "/run-tests")
	argv = append(argv, passedFlags(os.Args[1:])...)
	var running sync.WaitGroup
	outs, errs := make([]bytes.Buffer, len(Versions)), make([]error, len(Versions))
	for i, version := range Versions {
		var out io.Writer = &outs[i]
		if i == 0 {
			out = os.Stdout // the others' output follows, so that none is torn
		}
		running.Go(func() { errs[i] = runTests(version, binds, argv, out) })
	}
	running.Wait()
	for i := range outs {
		os.Stdout.Write(outs[i].Bytes())
	}
	return verdict(errors.Join(errs...))
}

// verdict prints the last lines of a test binary's output and is its exit code.
func verdict(err error) int {
	switch {
	case err == nil:
		fmt.Println("PASS")
		return 0
	case mayRefuse(err):
		fmt.Printf("NOT TESTED: %v\ntesting: warning: no tests to run\nPASS\n", err)
		return 0
	default:
		fmt.Printf("%v\nFAIL\n", err)
		return 1
	}
}

// runTests runs a test binary in a scope of a new host: unlike a transient
// service a scope does not need the bus that a test may restart.
func runTests(version string, binds, argv []string, out io.Writer) error {
	h, err := Boot(version, binds...)
	if err != nil {
		return err
	}
	lines, w := io.Pipe()
	cmd := h.Command(context.Background(), append([]string{"systemd-run", "--scope", "--quiet", "--collect", "--"}, argv...)...)
	cmd.Stdout, cmd.Stderr = w, w
	var copying sync.WaitGroup
	copying.Go(func() { relabel(out, lines, version) })
	err = cmd.Run()
	w.Close()
	copying.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("the tests on systemd %s failed: %w", version, err)
	}
	return errors.Join(err, h.Stop())
}

// testLine is a line of a test binary that names a test. The mark in front is
// there for test2json.
var testLine = regexp.MustCompile(`^(\x16?\s*(?:=== (?:RUN|PAUSE|CONT|NAME) +|--- (?:PASS|FAIL|SKIP|BENCH): ))(\S)`)

// relabel copies the output of a test binary with the version in front of the
// names of tests, and without its verdict.
func relabel(out io.Writer, in io.Reader, version string) {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadString('\n')
		if bare := strings.Trim(line, "\x16\n"); bare != "PASS" && bare != "FAIL" {
			io.WriteString(out, testLine.ReplaceAllString(line, "${1}"+version+"/${2}"))
		}
		if err != nil {
			return
		}
	}
}

// passedFlags leaves away the flags that name files outside.
func passedFlags(args []string) []string {
	var passed []string
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch name {
		case "test.testlogfile", "test.outputdir", "test.gocoverdir", "test.coverprofile", "test.fuzzcachedir",
			"test.cpuprofile", "test.memprofile", "test.blockprofile", "test.mutexprofile", "test.trace":
		default:
			passed = append(passed, arg)
		}
	}
	return passed
}

func passedEnvironment() []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(name, "ROLLBRIDGE_"), name == "CI", name == "GODEBUG", name == "GORACE", name == "GOTRACEBACK":
			env = append(env, pair)
		}
	}
	return env
}

// findModule is the directory of go.mod, and the working directory below it.
func findModule() (module, dir string, err error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	for module = wd; ; module = filepath.Dir(module) {
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			dir, err = filepath.Rel(module, wd)
			return module, dir, err
		}
		if module == "/" {
			return "", "", fmt.Errorf("run tests inside: no go.mod above %s", wd)
		}
	}
}
