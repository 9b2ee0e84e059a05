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
	"slices"
	"strconv"
	"strings"
)

// listener says who accepts connections on an address, by the sockets of the
// kernel's table and the descriptors of processes. members is asked again when
// the owner is not among them: it may have been born meanwhile.
func listener(addr netip.AddrPort, members func() []int) (Listener, error) {
	inodes, err := listening(addr)
	if err != nil {
		return Undetermined, err
	}
	if len(inodes) == 0 {
		return Nobody, nil
	}
	own := holders(members(), inodes)
	if len(own) == len(inodes) {
		return Own, nil
	}
	all := holders(allPids(), inodes)
	own = holders(members(), inodes)
	switch {
	case len(own) == len(inodes):
		return Own, nil
	case len(all) > len(own):
		return Foreign, nil
	}
	return Undetermined, nil
}

// holders are those sockets of which a process among pids has a descriptor.
// What may not be read is passed over.
func holders(pids []int, inodes []uint64) map[uint64]bool {
	held := map[uint64]bool{}
	for _, pid := range pids {
		if len(held) == len(inodes) {
			break
		}
		dir := fmt.Sprintf("/proc/%d/fd/", pid)
		fds, _ := os.ReadDir(dir)
		for _, fd := range fds {
			target, err := os.Readlink(dir + fd.Name())
			if err != nil {
				continue
			}
			if inode, ok := socketInode(target); ok && slices.Contains(inodes, inode) {
				held[inode] = true
			}
		}
	}
	return held
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
