package systemdtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Main is the TestMain of a package whose tests must run on a machine with
// systemd, as root. Outside it runs this test binary once more in a host of each
// version, with the same flags and the sources at hand; the names of tests get
// the version in front. Inside it runs the tests.
func Main(m *testing.M) {
	flag.Parse()
	if Inside() || listing() {
		os.Exit(m.Run())
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	os.Exit(Run(self))
}

// listing is whether this test binary is only asked for the names of its tests.
func listing() bool { return flag.Lookup("test.list").Value.String() != "" }

// Run runs a test binary in a host of each version with the flags of this one,
// and prints what it says as if it were the outcome of this one. Inside, the
// binary's directory is /tests and the sources are /src, where it starts in the
// same package. Its environment has this one's variables for rollbridge and Go,
// and those given. The result is the exit code.
func Run(binary string, env ...string) int {
	if listing() {
		return 0
	}
	module, dir, err := findModule()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binds := []string{filepath.Dir(binary) + ":/tests", module + ":/src"}
	argv := testCommand(filepath.Join("/src", dir), binary, env)
	return runEach(Versions, func(version string, out io.Writer) error {
		return runInHost(version, binds, argv, out)
	})
}

// testCommand is the command line for a test binary inside.
func testCommand(dir, binary string, env []string) []string {
	argv := append([]string{"env", "--chdir=" + dir}, passedEnvironment()...)
	argv = append(append(argv, env...), filepath.Join("/tests", filepath.Base(binary)))
	return append(argv, passedFlags(os.Args[1:])...)
}

// runEach runs tests on each version at once and sums up as a test binary.
func runEach(versions []string, run func(version string, out io.Writer) error) int {
	var running sync.WaitGroup
	outs, errs := make([]bytes.Buffer, len(versions)), make([]error, len(versions))
	for i, version := range versions {
		var out io.Writer = &outs[i]
		if i == 0 {
			out = os.Stdout // the others' output follows, so that none is torn
		}
		running.Go(func() { errs[i] = relabelled(version, out, run) })
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
	case Excusable(err):
		// The warning makes `go test` show that nothing was tested.
		fmt.Printf("NOT TESTED: %v\ntesting: warning: no tests to run\nPASS\n", err)
		return 0
	default:
		fmt.Printf("%v\nFAIL\n", err)
		return 1
	}
}

// runInHost runs a command in a scope of a new host: unlike a transient service
// a scope does not need the bus, which a test may restart.
func runInHost(version string, binds, argv []string, out io.Writer) error {
	h, err := Boot(version, binds...)
	if err != nil {
		return err
	}
	cmd := h.Command(context.Background(), append([]string{"systemd-run", "--scope", "--quiet", "--collect", "--"}, argv...)...)
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("the tests on systemd %s failed: %w", version, err)
	}
	return errors.Join(err, h.Stop())
}
