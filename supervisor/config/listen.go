package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// unixPrefix begins the address of a Unix socket, as in proxy_pass of nginx.
const unixPrefix = "unix:"

const fixListen = "set proxy.listen to a list of host:port and unix:/path, for example `listen: [\"127.0.0.1:8182\", \"unix:/run/shop/proxy.sock\"]`"

// addresses reads host and port, and listen, which stands in their place. Host
// and Port are those of its first TCP address; without one they stay what they
// are by default.
func (p *Proxy) addresses(m mapping) {
	host, port, listen := m.get("host"), m.get("port"), m.get("listen")
	p.Host = host.host(DefaultProxyHost)
	p.Port = port.port(DefaultProxyPort)
	all, ok := listen.addresses()
	if !ok {
		p.Listen = []string{address{host: p.Host, port: p.Port}.String()}
		return
	}
	first := address{host: p.Host, port: p.Port}
	tcp := slices.IndexFunc(all, func(a address) bool { return a.path == "" })
	if tcp >= 0 {
		first = all[tcp]
	}
	if host.given() && (tcp < 0 || first.host != p.Host) || port.given() && (tcp < 0 || first.port != p.Port) {
		listen.complain("proxy.listen and proxy.host, proxy.port name different addresses", "keep proxy.listen, and remove proxy.host and proxy.port")
	}
	p.Host, p.Port = first.host, first.port
	for _, a := range all {
		p.Listen = append(p.Listen, a.String())
	}
}

// listensOn reports whether the proxy has a Unix socket at the path.
func (p Proxy) listensOn(path string) bool {
	return slices.Contains(p.Listen, address{path: filepath.Clean(path)}.String())
}

// isPlain reports whether host and port tell all there is to tell.
func (p Proxy) isPlain() bool {
	return len(p.Listen) == 1 && !strings.HasPrefix(p.Listen[0], unixPrefix)
}

// sameListen compares where two configurations listen. The order does not matter.
func (p Proxy) sameListen(o Proxy) bool {
	return slices.Equal(slices.Sorted(slices.Values(p.Listen)), slices.Sorted(slices.Values(o.Listen)))
}

// An address is where the proxy listens: the path of a Unix socket, or host and
// port.
type address struct {
	path string
	host string
	port int
}

func (a address) String() string {
	if a.path != "" {
		return unixPrefix + a.path
	}
	return net.JoinHostPort(a.host, strconv.Itoa(a.port))
}

// addresses reads an optional list of addresses; ok is false when it is not
// given, or when there is something wrong with it.
func (v value) addresses() (all []address, ok bool) {
	if !v.given() {
		return nil, false
	}
	items, ok := v.items(fixListen)
	if ok && len(items) == 0 {
		v.wrong("must hold at least one address", fixListen)
		ok = false
	}
	for _, item := range items {
		a, valid := item.address()
		ok = ok && valid
		if valid {
			item.checkApart(a, all)
			all = append(all, a)
		}
	}
	return all, ok
}

// address reads one address.
func (v value) address() (address, bool) {
	s, _ := v.asText()
	if path, isUnix := strings.CutPrefix(s, unixPrefix); isUnix {
		return v.unixAddress(path)
	}
	host, digits, err := net.SplitHostPort(s)
	port, bad := strconv.ParseUint(digits, 10, 16)
	if err != nil || bad != nil || !isHost(host) {
		v.wrong("must be an address host:port or unix:/path", fixListen+listenHint(s))
		return address{}, false
	}
	return address{host: host, port: int(port)}, true
}

// unixAddress is a Unix socket; a relative path is beside the configuration.
func (v value) unixAddress(path string) (address, bool) {
	const example = "for example unix:/run/shop/proxy.sock"
	switch {
	case strings.HasPrefix(path, "@"), strings.HasPrefix(path, "\x00"):
		v.wrong("must be the path of a Unix socket: abstract sockets are not supported", "write a path, "+example)
		return address{}, false
	case path == "", strings.HasSuffix(path, "/"), !isPrintable(path):
		v.wrong("must be the path of a Unix socket", "write a path after unix:, "+example)
		return address{}, false
	}
	path = filepath.Clean(besides(absolute(v.r.file), path))
	if len(path) > maxSocketPath {
		v.wrong(fmt.Sprintf("must be at most %d bytes long: %s", maxSocketPath, clip(path, 200)), "write a shorter path, "+example)
		return address{}, false
	}
	return address{path: path}, true
}

func listenHint(s string) string {
	switch {
	case strings.HasPrefix(s, "/"):
		return "; a Unix socket is " + unixPrefix + clip(s, 100)
	case strings.HasPrefix(s, ":"):
		return "; to listen on all addresses write 0.0.0.0" + clip(s, 10)
	}
	return ""
}

// checkApart reports an address that is given twice, or lies within another one.
func (v value) checkApart(a address, earlier []address) {
	for _, b := range earlier {
		switch {
		case strings.EqualFold(a.String(), b.String()) && a.path == b.path:
			v.wrong("is given twice: "+a.String(), "remove one of them")
			return
		case a.includes(b), b.includes(a):
			v.wrong(fmt.Sprintf("overlaps with %s: %s", b, a), "remove one of them: 0.0.0.0 stands for all addresses of IPv4, [::] for all there are")
			return
		}
	}
}

// includes reports whether who listens on a has the address b too.
func (a address) includes(b address) bool {
	all, errA := netip.ParseAddr(a.host)
	one, errB := netip.ParseAddr(b.host)
	if errA != nil || errB != nil || a.port != b.port || a.port == 0 {
		return false
	}
	all, one = all.Unmap(), one.Unmap()
	return all == one || all.IsUnspecified() && (all.Is6() || one.Is4())
}
