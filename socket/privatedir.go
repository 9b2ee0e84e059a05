package socket

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// PrivateDir makes sure that path is a directory of our own that nobody else can
// enter, creating what is missing of it with mode 0700. It goes down from the
// root and refuses a way that somebody else could bend: a component that belongs
// neither to us nor to root, a symbolic link that is not root's, or one that
// others can write to unless it is sticky, as /tmp is.
func PrivateDir(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	at, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	reached := "/"
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		reached = filepath.Join(reached, name)
		next, err := enter(at, name, reached)
		at.Close()
		if err != nil {
			return err
		}
		at = next
	}
	defer at.Close()
	return private(at, path)
}

// enter opens name in the directory at, creating it if it is missing, and
// checks that it can be trusted.
func enter(at *os.File, name, path string) (*os.File, error) {
	err := unix.Mkdirat(int(at.Fd()), name, 0o700)
	if err != nil && err != unix.EEXIST {
		return nil, refused(path, reasonOf(err), "")
	}
	follow, err := trustedLink(at, name, path)
	if err != nil {
		return nil, err
	}
	flags := unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(int(at.Fd()), name, flags, 0)
	if err != nil {
		return nil, refused(path, reasonOf(err), "")
	}
	next := os.NewFile(uintptr(fd), path)
	if err := trusted(next, path); err != nil {
		next.Close()
		return nil, err
	}
	return next, nil
}

// trustedLink tells whether name is a symbolic link that root made.
func trustedLink(at *os.File, name, path string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(at.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, refused(path, reasonOf(err), "")
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return false, nil
	}
	if st.Uid != 0 {
		return false, refused(path, "it is a symbolic link", "remove it")
	}
	return true, nil
}

func trusted(dir *os.File, path string) error {
	st, err := statOf(dir)
	if err != nil {
		return refused(path, reasonOf(err), "")
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return refused(path, fmt.Sprintf("it belongs to user %d", st.Uid), "remove it, or set control.path")
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return refused(path, fmt.Sprintf("others can write to it (mode %04o)", st.Mode&0o7777), "chmod go-w "+path)
	}
	return nil
}

func private(dir *os.File, path string) error {
	st, err := statOf(dir)
	if err != nil {
		return refused(path, reasonOf(err), "")
	}
	if int(st.Uid) != os.Geteuid() {
		return refused(path, fmt.Sprintf("it belongs to user %d", st.Uid), "remove it, or set control.path")
	}
	if st.Mode&0o077 != 0 {
		return refused(path, fmt.Sprintf("others have access to it (mode %04o)", st.Mode&0o7777), "chmod 700 "+path)
	}
	return nil
}

func refused(path, reason, hint string) error {
	return &Error{Message: fmt.Sprintf("private directory %s: %s", path, reason), Hint: hint}
}
