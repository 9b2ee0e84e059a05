package supervisor

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/socket/control"
)

// lockPatience bounds the wait for a daemon that is just ending: the kernel
// gives a lock back a moment after its owner is gone.
const lockPatience = time.Second

// Lock keeps two daemons of one instance apart. It is held as long as its file
// is open, so nothing is left of it when its owner is killed.
type Lock struct{ file *os.File }

// TakeLock takes the lock of that path, whose directory must exist, for a daemon
// that runs an application. When another daemon has it, the error names that one.
func TakeLock(path, application string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of the instance: %w", err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		return nil, lockError(f, err)
	}
	l := &Lock{f}
	if err := l.sign(application); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock of the instance: %w", err)
	}
	return l, nil
}

// flock tries for a while: the kernel has no wait with a time limit.
func flock(f *os.File) error {
	deadline := time.Now().Add(lockPatience)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func lockError(f *os.File, err error) error {
	if err != unix.EWOULDBLOCK {
		return fmt.Errorf("lock of the instance: flock %s: %w", f.Name(), err)
	}
	owner := "another daemon"
	if pid, _ := signature(f); pid != 0 {
		owner = fmt.Sprintf("the daemon with pid %d", pid)
	}
	return &control.Error{
		Code:    "running",
		Message: fmt.Sprintf("%s runs this instance already: it holds %s", owner, f.Name()),
		Hint:    "`rollbridge status` shows it; `rollbridge shutdown` ends it",
	}
}

// sign writes who holds the lock.
func (l *Lock) sign(application string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), application), 0)
	return err
}

// signature reads who holds a lock, 0 and "" where that is not known.
func signature(f *os.File) (pid int, application string) {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, 1024))
	number, application, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, _ = strconv.Atoi(number)
	return pid, application
}

// Running is the application of the daemon that has the lock of that path, "" when
// none has it.
func Running(path string) (application string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != unix.EWOULDBLOCK {
		return ""
	}
	_, application = signature(f)
	return application
}

// Release gives the lock back. The file stays: removing it could take away the
// one that somebody else has locked meanwhile.
func (l *Lock) Release() {
	if l != nil {
		l.file.Close()
	}
}
