package runner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// What sock_diag(7) speaks, from linux/inet_diag.h and net/tcp_states.h.
const (
	diagRequestSize = 56 // struct inet_diag_req_v2
	diagMessageSize = 72 // struct inet_diag_msg
	diagInodeAt     = 68
	diagCgroupID    = 21 // INET_DIAG_CGROUP_ID, since Linux 5.7
	diagBuffer      = 32 << 10
	tcpListen       = 10
)

// socketCgroups are the listening TCP sockets, by inode, with the id of the
// cgroup of the process that made them: it stays, whoever has the socket later
// and wherever the process goes. It is unlike the id of any other cgroup there
// was since boot. The map is empty where the kernel does not tell.
func socketCgroups() (map[uint64]uint64, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil { // nobody but the kernel may answer
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	cgroups := map[uint64]uint64{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := dumpListening(fd, family, cgroups); err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
	}
	return cgroups, nil
}

// dumpListening asks for the sockets of a family. The kernel makes the answer
// while it is read, so that nothing is ever waited for.
func dumpListening(fd int, family uint8, cgroups map[uint64]uint64) error {
	request := binary.NativeEndian.AppendUint32(nil, unix.NLMSG_HDRLEN+diagRequestSize)
	request = binary.NativeEndian.AppendUint16(request, unix.SOCK_DIAG_BY_FAMILY)
	request = binary.NativeEndian.AppendUint16(request, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request = append(request, make([]byte, 8)...) // sequence number and port
	request = append(request, family, unix.IPPROTO_TCP, 0, 0)
	request = binary.NativeEndian.AppendUint32(request, 1<<tcpListen)
	request = append(request, make([]byte, unix.NLMSG_HDRLEN+diagRequestSize-len(request))...) // of any address
	if _, err := unix.Write(fd, request); err != nil {
		return err
	}
	buffer := make([]byte, diagBuffer)
	for {
		n, err := unix.Read(fd, buffer)
		if err != nil {
			return err
		}
		if done, err := parseDiag(buffer[:n], cgroups); done || err != nil {
			return err
		}
	}
}

// errDiag is an answer that is not as linux/inet_diag.h says.
var errDiag = errors.New("unexpected answer")

// parseDiag reads a part of an answer; done says that it was the last one.
func parseDiag(part []byte, cgroups map[uint64]uint64) (done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(part)
	if err != nil {
		return false, errDiag
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR: // with a negative error number, or 0
			if len(m.Data) < 4 {
				return false, errDiag
			}
			if number := int32(binary.NativeEndian.Uint32(m.Data)); number != 0 {
				return false, syscall.Errno(-number)
			}
			return true, nil
		case unix.SOCK_DIAG_BY_FAMILY:
			if len(m.Data) < diagMessageSize {
				return false, errDiag
			}
			inode := binary.NativeEndian.Uint32(m.Data[diagInodeAt:])
			id, err := cgroupAttribute(m.Data[diagMessageSize:])
			if err != nil {
				return false, err
			}
			if id != 0 {
				cgroups[uint64(inode)] = id
			}
		default:
			return false, errDiag
		}
	}
	return false, nil
}

// cgroupAttribute is the id among attributes (struct nlattr), 0 if there is none.
func cgroupAttribute(attributes []byte) (uint64, error) {
	for len(attributes) > 0 {
		if len(attributes) < unix.SizeofNlAttr {
			return 0, errDiag
		}
		size, kind := int(binary.NativeEndian.Uint16(attributes)), binary.NativeEndian.Uint16(attributes[2:])
		if size < unix.SizeofNlAttr || size > len(attributes) {
			return 0, errDiag
		}
		if value := attributes[unix.SizeofNlAttr:size]; kind == diagCgroupID && len(value) == 8 {
			return binary.NativeEndian.Uint64(value), nil
		}
		aligned := (size + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
		attributes = attributes[min(aligned, len(attributes)):]
	}
	return 0, nil
}
