package systemdtest

import (
	"os"
	"os/exec"
	"slices"
)

// debs are the Debian packages of the programs that are needed.
var debs = map[string]string{
	"systemd-nspawn":     "systemd-container",
	"mmdebstrap":         "mmdebstrap",
	"qemu-system-x86_64": "qemu-system-x86",
	mke2fs:               "e2fsprogs",
}

// mke2fs is not always in root's PATH.
const mke2fs = "/sbin/mke2fs"

// A needError says what this machine lacks to run hosts, and how to get it.
type needError struct{ lacks, fix string }

func (e *needError) Error() string { return e.lacks + ": " + e.fix }

// need is a *needError when this machine lacks root or one of the programs.
func need(programs ...string) error {
	if os.Geteuid() != 0 {
		return &needError{"root is needed", "run the tests as root"}
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return &needError{"there is no " + program, "apt-get install " + debs[program]}
		}
	}
	return nil
}

// Excusable is whether tests may be skipped for that error, or for all that are
// joined in it: this machine lacks something, and does not promise to test
// everything, as CI does.
func Excusable(err error) bool {
	switch err := err.(type) {
	case *needError:
		return os.Getenv("CI") != "true"
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(err.Unwrap(), func(err error) bool { return !Excusable(err) })
	case interface{ Unwrap() error }:
		return Excusable(err.Unwrap())
	}
	return false
}
