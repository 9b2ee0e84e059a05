package runner

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pidfd names one process for as long as it is open, whatever becomes of its
// number. It is waited for by the runtime's poller: no thread and no polling.
type pidfd struct{ file *os.File }

// openPidfd opens a running process.
func openPidfd(pid int) (pidfd, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return pidfd{}, err
	}
	return newPidfd(fd), nil
}

// newPidfd takes ownership of fd.
func newPidfd(fd int) pidfd {
	_ = unix.SetNonblock(fd, true) // makes os.NewFile use the poller
	return pidfd{os.NewFile(uintptr(fd), "pidfd")}
}

func (p pidfd) close() { p.file.Close() }

// exited waits for the end of the process. The end of the context closes p.
func (p pidfd) exited(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	conn, err := p.file.SyscallConn()
	if err == nil {
		err = conn.Read(hasExited)
	}
	if ctx.Err() != nil && errors.Is(err, os.ErrClosed) {
		return context.Cause(ctx)
	}
	return err
}

// hasExited reports whether the process has ended by now.
func (p pidfd) hasExited() bool {
	ended := true
	if conn, err := p.file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { ended = hasExited(fd) })
	}
	return ended
}

func hasExited(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// signal sends to the process; one that has ended is no error.
func (p pidfd) signal(sig syscall.Signal) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) {
		sent = unix.PidfdSendSignal(int(fd), sig, nil, 0)
	}); err != nil {
		return err
	}
	if sent == unix.ESRCH {
		return nil
	}
	return sent
}

// exit is how a process ended that is no child of ours: unknown on kernels that
// do not keep it (before 6.15, PIDFD_GET_INFO in linux/pidfd.h). It is there
// once the process is reaped, a moment after its end.
func (p pidfd) exit() Exit {
	for range 20 {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		err := errors.ErrUnsupported
		if conn, e := p.file.SyscallConn(); e == nil {
			_ = conn.Control(func(fd uintptr) { err = unix.IoctlPidfdInfo(int(fd), &info) })
		}
		if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
			return statusExit(unix.WaitStatus(info.Exit_code))
		}
		if err != nil && err != unix.ESRCH {
			break
		}
		time.Sleep(5 * time.Millisecond) // nothing tells when it is reaped
	}
	return Exit{Unknown: true}
}

func statusExit(status unix.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Signal: status.Signal()}
	}
	return Exit{Code: status.ExitStatus()}
}
