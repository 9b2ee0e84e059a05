package socket

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unixPrefix begins the address of a Unix socket, as in proxy_pass of nginx.
const unixPrefix = "unix:"

// ListenAll binds the addresses of the proxy, "host:port" as ListenTCP has it or
// "unix:/path"; all of them or none. Everybody may connect to the Unix sockets
// who may enter their directories, which must exist; otherwise they are treated
// like control sockets. The error is an *Error.
func ListenAll(addrs []string) ([]*Listener, error) {
	var all []*Listener
	for _, addr := range addrs {
		l, err := listen(addr)
		if err != nil {
			CloseAll(all)
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func listen(addr string) (*Listener, error) {
	path, ok := strings.CutPrefix(addr, unixPrefix)
	switch {
	case !ok:
		return ListenTCP(addr)
	case isAbstract(path):
		return nil, &Error{
			Message: fmt.Sprintf("proxy socket %s: abstract sockets are not supported", path),
			Hint:    "set proxy.listen to a path, for example unix:/run/shop/proxy.sock",
		}
	}
	return listenUnix(path, forProxy, Permissions{Mode: openToAll})
}

// CloseAll closes listeners.
func CloseAll(listeners []*Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// Address is where l listens, in the form that ListenAll takes.
func (l *Listener) Address() string {
	if addr := l.Addr(); addr.Network() == "unix" {
		return unixPrefix + addr.String()
	}
	return l.Addr().String()
}

// Compare says in what listeners differ from those that ListenAll would make of
// addrs: which addresses have no listener, and which listeners no address.
// Names are looked up; one that has no address at the moment is taken to match,
// and so is port 0. A listener on [::] that takes IPv4 too does for 0.0.0.0.
func Compare(ctx context.Context, listeners []*Listener, addrs []string) (missing, extra []string) {
	wanted := make([]bool, len(listeners))
	for _, addr := range addrs {
		found := false
		for i, l := range listeners {
			if l.isAt(ctx, addr) {
				found, wanted[i] = true, true
			}
		}
		if !found {
			missing = append(missing, addr)
		}
	}
	for i, l := range listeners {
		if !wanted[i] {
			extra = append(extra, l.Address())
		}
	}
	return missing, extra
}

// isAt reports whether l is what ListenAll would make of addr.
func (l *Listener) isAt(ctx context.Context, addr string) bool {
	path, isUnix := strings.CutPrefix(addr, unixPrefix)
	switch at := l.Addr().(type) {
	case *net.UnixAddr:
		return isUnix && samePath(at.Name, path)
	case *net.TCPAddr:
		host, port, err := net.SplitHostPort(addr)
		if isUnix || err != nil || port != "0" && port != strconv.Itoa(at.Port) {
			return false
		}
		return l.isOn(ctx, at.AddrPort().Addr().Unmap(), host)
	}
	return false
}

// samePath reports whether two paths name one socket.
func samePath(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// isOn reports whether l, which is bound to the address at, listens on host.
func (l *Listener) isOn(ctx context.Context, at netip.Addr, host string) bool {
	ip, err := netip.ParseAddr(host)
	if err == nil {
		return l.takes(at, ip.Unmap())
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return true
	}
	for _, ip := range found {
		if l.takes(at, ip.Unmap()) {
			return true
		}
	}
	return false
}

func (l *Listener) takes(at, ip netip.Addr) bool {
	if at == netip.IPv6Unspecified() && ip.IsUnspecified() {
		return !l.onlyIPv6()
	}
	return at == ip
}

func (l *Listener) onlyIPv6() bool {
	raw, err := l.socket.SyscallConn()
	if err != nil {
		return false
	}
	only := 0
	raw.Control(func(fd uintptr) { only, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) })
	return only == 1
}
