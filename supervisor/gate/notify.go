package gate

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// tell tells the manager about this process, if it wants to be told.
func (g Gate) tell(state string) error {
	if g.Notify == "" {
		return nil
	}
	if err := notify(g.Notify, state); err != nil {
		return fmt.Errorf("notify systemd at %s: %w", g.Notify, err)
	}
	return nil
}

// tellStatus is for people; nothing depends on it.
func (g Gate) tellStatus(text string) { _ = g.tell("STATUS=" + text) }

// notify sends a datagram to a path, or to an abstract address "@…".
func notify(addr, state string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return uninterrupted(func() error {
		return unix.Sendto(fd, []byte(state), 0, &unix.SockaddrUnix{Name: addr})
	})
}

// uninterrupted repeats a system call until no signal has come between.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
