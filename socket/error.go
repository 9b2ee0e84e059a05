package socket

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInUse says that somebody answers at the path of a Unix socket.
var ErrInUse = errors.New("in use")

// ErrNotSocket says that something which is no socket lies at the path of one.
// It is left as it is.
var ErrNotSocket = errors.New("not a socket")

// An Error is a listener that could not be had, in one line, and a hint of what
// to do about it. It wraps its cause: an errno, ErrInUse or ErrNotSocket.
type Error struct {
	Code    string // name of the errno, such as EADDRINUSE; may be empty
	Message string
	Hint    string // may be empty
	Err     error
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// codeOf returns the name of the errno that caused err, or "".
func codeOf(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	return unix.ErrnoName(errno)
}

// reasonOf returns the bare reason of err, without the operation and its
// operands that the standard library puts before it.
func reasonOf(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
