package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

// CheckDir says what is wrong with a working directory, which the kernel's
// answer to an execution does not.
func CheckDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case dir == "":
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("working directory %s does not exist", dir)
	case err != nil:
		return fmt.Errorf("working directory %s: %w", dir, errors.Unwrap(err))
	case !info.IsDir():
		return fmt.Errorf("working directory %s is not a directory", dir)
	}
	return nil
}

// Explain puts the reason why a command was not executed into words.
func Explain(spec config.Spec, err error) error {
	if dir := CheckDir(spec.Dir); dir != nil {
		return dir
	}
	user := spec.User
	if user == "" {
		user = "the daemon's user"
	}
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("working directory %s may not be entered by %s", spec.Dir, user)
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("run as %s: not permitted to a daemon with uid %d", user, os.Geteuid())
	case errors.Is(err, syscall.E2BIG):
		return errors.New("command and environment are too long")
	case errors.Is(err, syscall.EINVAL):
		return errors.New("command, environment or directory contains a zero byte")
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("start /bin/sh: the limit of processes of %s is reached", user)
	}
	return fmt.Errorf("start /bin/sh: %w", err)
}
