package unitgen

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"rollbridge/supervisor/config"
)

// An Address is where a socket of the daemon listens: at a path, or else at an IP
// address and a port.
type Address struct {
	Path string
	IP   netip.AddrPort
}

// A Lookup finds the address of a host name without asking the network.
type Lookup func(name string) (netip.Addr, bool)

// Hosts is the Lookup of the text of a hosts(5) file. As for everything that
// listens, an IPv4 address wins over an IPv6 one.
func Hosts(text string) Lookup {
	return func(name string) (found netip.Addr, ok bool) {
		if strings.EqualFold(name, "localhost") {
			return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
		}
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			words := strings.Fields(line)
			if len(words) < 2 || !slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, name) }) {
				continue
			}
			if ip, err := netip.ParseAddr(words[0]); err == nil && (!ok || ip.Is4() && found.Is6()) {
				found, ok = ip, true
			}
		}
		return found, ok
	}
}

// Addresses are those at which systemd listens for the proxy of a daemon, each
// once. The problems are what keeps systemd from making the daemon's sockets.
func Addresses(c *config.Config, lookup Lookup) (all []Address, problems config.Problems) {
	for _, text := range c.Proxy.Listen {
		a, message, fix := parseAddress(text, lookup)
		switch {
		case message != "":
			problems = append(problems, c.ProblemAt(listenKey(c, text), message, fix))
		case slices.Contains(all, a):
		case slices.ContainsFunc(all, a.Overlaps):
			problems = append(problems, c.ProblemAt(listenKey(c, text), "systemd cannot listen at "+text+" beside the other addresses of that port",
				"remove those that it includes: 0.0.0.0 is all of IPv4, [::] all of IPv6 and IPv4"))
		default:
			all = append(all, a)
		}
	}
	return all, append(problems, controlProblems(c)...)
}

// listenKey is the key that an address was most probably read from.
func listenKey(c *config.Config, text string) []string {
	switch host, port, err := net.SplitHostPort(text); {
	case err != nil || host != c.Proxy.Host || port != strconv.Itoa(c.Proxy.Port) || len(c.Proxy.Listen) > 1:
		return []string{"proxy", "listen"}
	case port == "0":
		return []string{"proxy", "port"}
	}
	return []string{"proxy", "host"}
}

// parseAddress reads an entry of proxy.listen, or says what keeps systemd from
// listening there.
func parseAddress(text string, lookup Lookup) (a Address, message, fix string) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if !strings.HasPrefix(path, "/") || OneLine(path) != path {
			return a, "systemd cannot listen at " + strconv.Quote(text), "use an absolute path without control characters, space or a backslash at its end"
		}
		return Address{Path: path}, "", ""
	}
	host, digits, err := net.SplitHostPort(text)
	port, bad := strconv.ParseUint(digits, 10, 16)
	if err != nil || bad != nil {
		return a, "systemd cannot listen at " + strconv.Quote(text), "use host:port or unix:/path"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		var ok bool
		if ip, ok = lookup(host); !ok {
			return a, "systemd cannot listen at the name " + strconv.Quote(host) + ", which is not in /etc/hosts", "write its IP address"
		}
	}
	if port == 0 {
		return a, "systemd cannot listen at port 0, any free one", "choose a port"
	}
	return Address{IP: netip.AddrPortFrom(ip.Unmap(), uint16(port))}, "", ""
}

// Text is the address as ListenStream= takes it.
func (a Address) Text() string {
	ip := a.IP.Addr()
	switch {
	case a.isPath():
		return a.Path
	case ip.Zone() != "":
		return netip.AddrPortFrom(ip.WithZone(""), a.IP.Port()).String() + "%" + ip.Zone()
	}
	return a.IP.String()
}

func listenTexts(all []Address) (texts []string) {
	for _, a := range all {
		texts = append(texts, a.Text())
	}
	return texts
}

// Overlaps reports whether not both can be listened at by two sockets.
func (a Address) Overlaps(b Address) bool {
	switch {
	case a == b:
		return true
	case a.isPath() || b.isPath() || a.IP.Port() != b.IP.Port():
		return false
	}
	return a.covers(b) || b.covers(a)
}

// covers reports whether an address without a host takes the other one's port:
// that of IPv6 takes IPv4 with it.
func (a Address) covers(b Address) bool {
	ip := a.IP.Addr()
	return ip.IsUnspecified() && (ip.Is6() || b.IP.Addr().Is4())
}

func (a Address) isPath() bool { return a.Path != "" }

// mayComeLater reports whether the address is one that a network interface may
// not have yet when sockets are made, which is before the network.
func (a Address) mayComeLater() bool {
	ip := a.IP.Addr()
	return !a.isPath() && !ip.IsUnspecified() && !ip.IsLoopback()
}

// isDualStack reports whether the address is [::], which takes IPv4 too, whatever
// the host's settings say.
func (a Address) isDualStack() bool { return !a.isPath() && a.IP.Addr() == netip.IPv6Unspecified() }

func anyOf(all []Address, is func(Address) bool) bool { return slices.ContainsFunc(all, is) }
