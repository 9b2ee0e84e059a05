package runner

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// message is a netlink message, padded.
func message(kind uint16, data []byte) []byte {
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(data)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, make([]byte, 10)...)
	return padded(append(m, data...))
}

func attribute(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	return padded(append(a, value...))
}

func padded(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// diag is what the kernel tells of one socket.
func diag(inode uint32, attributes ...[]byte) []byte {
	data := binary.NativeEndian.AppendUint32(make([]byte, diagInodeAt), inode)
	for _, a := range attributes {
		data = append(data, a...)
	}
	return message(unix.SOCK_DIAG_BY_FAMILY, data)
}

func number(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

func failure(number syscall.Errno) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(-int32(number)))
}

func TestAnswersOfTheKernelAreReadStrictly(t *testing.T) {
	one := diag(5, attribute(8, []byte{1}), attribute(diagCgroupID, number(77)))
	for name, test := range map[string]struct {
		part []byte
		want map[uint64]uint64
		done bool
		err  error
	}{
		"two sockets":         {append(one, diag(6, attribute(diagCgroupID, number(1<<40)))...), map[uint64]uint64{5: 77, 6: 1 << 40}, false, nil},
		"an old kernel":       {diag(5, attribute(8, []byte{1})), nil, false, nil},
		"no attributes":       {diag(5), nil, false, nil},
		"id of another size":  {diag(5, attribute(diagCgroupID, make([]byte, 4))), nil, false, nil},
		"the end":             {append(one, message(unix.NLMSG_DONE, make([]byte, 4))...), map[uint64]uint64{5: 77}, true, nil},
		"nothing":             {nil, nil, false, nil},
		"no such module":      {message(unix.NLMSG_ERROR, failure(unix.ENOENT)), nil, false, unix.ENOENT},
		"broken off":          {message(unix.NLMSG_DONE, failure(unix.EINTR)), nil, false, unix.EINTR},
		"the end of nothing":  {message(unix.NLMSG_DONE, nil), nil, false, errDiag},
		"another message":     {message(unix.NLMSG_OVERRUN, nil), nil, false, errDiag},
		"a short message":     {message(unix.SOCK_DIAG_BY_FAMILY, make([]byte, diagMessageSize-1)), nil, false, errDiag},
		"half a message":      {one[:len(one)-4], nil, false, errDiag},
		"half a header":       {append(one, 1, 2, 3), map[uint64]uint64{5: 77}, false, nil},
		"half an attribute":   {diag(5, []byte{1, 0}), nil, false, errDiag},
		"attribute too long":  {diag(5, []byte{9, 0, diagCgroupID, 0, 1, 2, 3, 4}), nil, false, errDiag},
		"attribute too short": {diag(5, []byte{3, 0, diagCgroupID, 0}), nil, false, errDiag},
	} {
		got := map[uint64]uint64{}
		done, err := parseDiag(test.part, got)
		if done != test.done || err != test.err || !maps.Equal(got, test.want) {
			t.Errorf("%s: %v %v %v, want %v %v %v", name, got, done, err, test.want, test.done, test.err)
		}
	}
}

func FuzzDiag(f *testing.F) {
	f.Add(diag(5, attribute(8, []byte{1}), attribute(diagCgroupID, number(77))))
	f.Add(message(unix.NLMSG_DONE, make([]byte, 4)))
	f.Fuzz(func(t *testing.T, part []byte) {
		found := map[uint64]uint64{}
		_, _ = parseDiag(part, found)
		if len(found) > len(part)/diagMessageSize {
			t.Errorf("%d sockets in %d bytes", len(found), len(part))
		}
	})
}

// A socket belongs to the cgroup that its process was in when it made it.
func TestTheCgroupOfASocketStays(t *testing.T) {
	here, there := newCgroup(t, cgroupOf(os.Getpid())), newCgroup(t, cgroupOf(os.Getpid()))
	below := newCgroup(t, here)
	for _, listen := range []string{"127.0.0.1:0", "[::]:0"} {
		for _, group := range []cgroup{here, below} {
			pid, addr := listenIn(t, group, listen)
			is := func(when string, pids []int, group cgroup, want Listener) {
				t.Helper()
				if got, err := listener(addr, func() ([]int, []uint64) { return pids, group.ids() }); got != want || err != nil {
					t.Errorf("%s in %s, %s: %v %v, want %v", listen, group.dir, when, got, err, want)
				}
			}
			is("by the cgroup alone", nil, here, Own)
			is("of another cgroup", nil, there, Foreign)
			move(t, pid, there)
			is("by the cgroup that it was made in", nil, here, Own)
			is("of a process that was moved", pidsOf(there), there, Own)
			is("of one that was moved away", pidsOf(here), there, Foreign)
		}
	}
}

// newCgroup makes a cgroup below another one.
func newCgroup(t *testing.T, parent cgroup) cgroup {
	t.Helper()
	if parent.dir == "" || os.Geteuid() != 0 {
		t.Skip("wants a cgroup of version 2, and root")
	}
	dir, err := os.MkdirTemp(parent.dir, "rollbridge-test-")
	if err != nil {
		t.Skip("cannot make a cgroup: ", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return cgroup{dir}
}

// listenIn starts a process in a cgroup that listens.
func listenIn(t *testing.T, group cgroup, listen string) (pid int, addr netip.AddrPort) {
	t.Helper()
	dir, err := os.Open(group.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), listenVariable+"="+listen)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, _ := bufio.NewReader(out).ReadString('\n')
	at, err := net.ResolveTCPAddr("tcp", strings.TrimSpace(strings.TrimPrefix(line, "listening ")))
	if err != nil {
		t.Fatal(line, err)
	}
	return cmd.Process.Pid, netip.AddrPortFrom(at.AddrPort().Addr().Unmap(), uint16(at.Port))
}

func move(t *testing.T, pid int, to cgroup) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(to.dir, "cgroup.procs"), fmt.Append(nil, pid), 0o644); err != nil {
		t.Fatal(err)
	}
}
