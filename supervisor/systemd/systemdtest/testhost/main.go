// Command testhost is for looking into test hosts by hand.
//
//	testhost roots                    build the root file systems
//	testhost 252|257 [COMMAND ARG…]   boot a host and run a command, or a shell, in it
//
// The working directory is /src inside.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"rollbridge/supervisor/systemd/systemdtest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		exit(err)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("usage: testhost roots | 252|257 [COMMAND ARG…]")
	case args[0] == "roots":
		return buildRoots()
	case len(args) == 1:
		return runInside(args[0], "bash", "-l")
	default:
		return runInside(args[0], args[1:]...)
	}
}

func buildRoots() error {
	var building sync.WaitGroup
	errs := make([]error, len(systemdtest.Versions))
	for i, version := range systemdtest.Versions {
		building.Go(func() { _, errs[i] = systemdtest.Root(version) })
	}
	building.Wait()
	return errors.Join(errs...)
}

func runInside(version string, argv ...string) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	h, err := systemdtest.Boot(version, wd+":/src")
	if err != nil {
		return err
	}
	cmd := h.Command(context.Background(), argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return errors.Join(cmd.Run(), h.Stop())
}

// exit says what went wrong. A command's own exit code is passed on, and what is
// only missing on this machine fails nobody but CI.
func exit(err error) {
	if command, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(command.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "testhost:", err)
	if systemdtest.Excusable(err) {
		fmt.Fprintln(os.Stderr, "WARNING: what needs a test host with systemd WILL NOT BE TESTED on this machine.")
		os.Exit(0)
	}
	os.Exit(1)
}
