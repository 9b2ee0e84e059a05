package control

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Peer is the process that connected, as the kernel knew it at that moment.
type Peer struct {
	UID, GID int
	PID      int
}

// nobody is the peer of what did not come over a Unix socket. It is not root.
var nobody = Peer{UID: -1, GID: -1}

// PeerOf returns who sent the command that ctx belongs to; UID and GID are -1
// when ctx is not a command's.
func PeerOf(ctx context.Context) Peer {
	if k := callOf(ctx); k != nil {
		return k.conn.peer
	}
	return nobody
}

func rawConn(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func peerCredentials(raw syscall.RawConn) Peer {
	peer := nobody
	if raw == nil {
		return peer
	}
	raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil {
			peer = Peer{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid)}
		}
	})
	return peer
}

// hungUp tells whether the peer closed its end altogether, not only the half it
// writes to.
func hungUp(fd uintptr) bool {
	poll := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
