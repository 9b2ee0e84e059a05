package socket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience bounds the wait for another daemon that looks at the same
// directory; it holds the lock for well under a millisecond.
const lockPatience = 2 * time.Second

var errLocked = errors.New("another process holds a lock on it")

// A directory is the open directory of a Unix socket. Names are looked up in
// it, not by path, so nobody can swap it for another one in between.
type directory struct {
	*os.File
}

func openDirectory(path string) (directory, error) {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return directory{f}, err
}

func (d directory) fd() int { return int(d.Fd()) }

// lock waits until nobody else takes or gives back a path in the directory. An
// flock has no wait with a time limit, hence the short steps.
func (d directory) lock() error {
	deadline := time.Now().Add(lockPatience)
	for {
		err := unix.Flock(d.fd(), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return err
		}
		if time.Now().After(deadline) {
			return errLocked
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (d directory) unlock() { unix.Flock(d.fd(), unix.LOCK_UN) }

// stat does not follow a symbolic link.
func (d directory) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func (d directory) remove(name string) error { return unix.Unlinkat(d.fd(), name, 0) }

// rename refuses to replace what has the new name, on file systems that can.
func (d directory) rename(from, to string) error {
	err := unix.Renameat2(d.fd(), from, d.fd(), to, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return unix.Renameat(d.fd(), from, d.fd(), to)
	}
	return err
}

// pin opens name without following it and without any access, which keeps its
// inode number from being used again.
func (d directory) pin(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.Name(), name)), nil
}

// byDescriptor is a path to name that is short whatever the directory's path.
func (d directory) byDescriptor(name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.fd(), name)
}

func statOf(f *os.File) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return st, err
}

func sameFile(a, b unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

func isSocket(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFSOCK }
