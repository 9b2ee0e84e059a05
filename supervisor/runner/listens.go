package runner

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// listener says who accepts connections on an address. whose are the processes
// that are to do so, and the ids of the cgroups that nobody else is in.
func listener(addr netip.AddrPort, whose func() (pids []int, cgroups []uint64)) (Listener, error) {
	found, err := lookUp(addr, whose)
	if err != nil || found == Own {
		return found, err
	}
	return lookUp(addr, whose) // processes and sockets may have come and gone meanwhile
}

// lookUp looks at each socket that gets connections: if it was made in one of
// the cgroups, that is enough. Otherwise somebody may have handed it over, or
// the kernel does not tell: then the descriptors decide.
func lookUp(addr netip.AddrPort, whose func() ([]int, []uint64)) (Listener, error) {
	inodes, err := listening(addr)
	if err != nil {
		return Undetermined, err
	}
	if len(inodes) == 0 {
		return Nobody, nil
	}
	pids, cgroups := whose()
	if len(cgroups) > 0 {
		madeIn, _ := socketCgroups() // without, there are still the descriptors
		inodes = slices.DeleteFunc(inodes, func(inode uint64) bool { return slices.Contains(cgroups, madeIn[inode]) })
	}
	unseen := false
	for _, pid := range pids {
		if len(inodes) == 0 {
			break
		}
		held, err := socketsOf(pid)
		unseen = unseen || err != nil
		inodes = slices.DeleteFunc(inodes, func(inode uint64) bool { return slices.Contains(held, inode) })
	}
	switch {
	case len(inodes) == 0:
		return Own, nil
	case unseen:
		return Undetermined, nil
	}
	return Foreign, nil
}

// socketsOf are the sockets that a process has descriptors of: none if it is
// gone.
func socketsOf(pid int) ([]uint64, error) {
	sockets, err := readSockets(pid)
	if errors.Is(err, fs.ErrPermission) {
		asOwner(pid, func() { sockets, err = readSockets(pid) })
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	return sockets, err
}

func readSockets(pid int) ([]uint64, error) {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var sockets []uint64
	for _, fd := range fds {
		target, err := os.Readlink(dir + fd.Name())
		if errors.Is(err, fs.ErrNotExist) { // closed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		if inode, ok := socketInode(target); ok {
			sockets = append(sockets, inode)
		}
	}
	return sockets, nil
}

// dumpable is held while the kernel may have taken that from the program.
var dumpable sync.Mutex

// asOwner runs f with the owner of a process as the one who opens files. Without
// CAP_SYS_PTRACE, as in the sandbox of rollbridge.service, even the superuser
// does not see what others have open, but each sees it of his own processes. If
// the owner cannot be taken on, f finds out.
func asOwner(pid int, f func()) {
	var owner unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", pid), &owner); err != nil {
		return
	}
	dumpable.Lock()
	defer dumpable.Unlock()
	before, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread() // for good: the thread, which alone has changed, ends with this
		_, _ = unix.SetfsgidRetGid(int(owner.Gid))
		_, _ = unix.SetfsuidRetUid(int(owner.Uid))
		f()
	})
	done.Wait()
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0)
}

// socketInode reads `socket:[12345]`.
func socketInode(target string) (uint64, bool) {
	text, ok := strings.CutPrefix(target, "socket:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
	return inode, err == nil
}

// listening are the inodes of the sockets that get the connections to an
// address: those that the kernel finds to be bound to it most closely.
func listening(addr netip.AddrPort) ([]uint64, error) {
	inodes, closest := []uint64(nil), elsewhere
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		err := eachListener(table, func(bound netip.AddrPort, inode uint64) {
			switch m := matching(bound, addr); {
			case m == elsewhere || m < closest:
			case m > closest:
				inodes, closest = []uint64{inode}, m
			default:
				inodes = append(inodes, inode)
			}
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return nil, fmt.Errorf("list the listening sockets: %w", err)
		}
	}
	return inodes, nil
}

// match is how closely a socket is bound to an address.
type match int

const (
	elsewhere  match = iota
	anyFamily        // to every address, IPv6 and IPv4
	anyAddress       // to every address of the family
	exactly
)

func matching(bound, wanted netip.AddrPort) match {
	to, addr := bound.Addr(), wanted.Addr().Unmap().WithZone("")
	switch {
	case bound.Port() != wanted.Port():
		return elsewhere
	case to.Unmap() == addr:
		return exactly
	case to.IsUnspecified() && to.Is4() == addr.Is4():
		return anyAddress
	case to.IsUnspecified() && to.Is6():
		return anyFamily
	}
	return elsewhere
}

// eachListener reads a table of TCP sockets: after a heading, lines of
// `sl local remote state queues timer retransmits uid timeout inode …`.
func eachListener(table string, visit func(bound netip.AddrPort, inode uint64)) error {
	file, err := os.Open(table)
	if err != nil {
		return err
	}
	defer file.Close()
	const stateListen = "0A"
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		bound, ok := parseSocketAddr(fields[1])
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if ok && err == nil {
			visit(bound, inode)
		}
	}
	return lines.Err()
}

// parseSocketAddr reads `0100007F:1F90`: the address as 32-bit words in the
// byte order of the machine, the port as a number.
func parseSocketAddr(s string) (netip.AddrPort, bool) {
	words, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		fromHost(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(number)), ok
}

// fromHost puts the bytes of a printed word into the order they have in memory.
func fromHost(word []byte) {
	value := binary.BigEndian.Uint32(word)
	binary.NativeEndian.PutUint32(word, value)
}
