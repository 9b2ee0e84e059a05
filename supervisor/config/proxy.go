package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// loopback are the proxies trusted by default, and the word "loopback".
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

var hostname = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)

func (v value) proxy() Proxy {
	if !v.given() {
		v.wrong("is required", fixProxy)
	}
	m, _ := v.block("proxy", "set proxy to a mapping with host, port and the other proxy keys, for example `proxy: {port: 8182}`")
	p := Proxy{
		HealthPath:          m.get("healthPath").urlPath(DefaultHealthPath),
		HealthTimeout:       m.get("healthTimeoutMs").duration(DefaultHealthTimeout),
		DrainTimeout:        m.get("drainTimeoutMs").duration(DefaultDrainTimeout),
		ForceStopTimeout:    m.get("forceStopTimeoutMs").duration(DefaultForceStopTimeout),
		TrustedProxies:      m.get("trustedProxies").prefixes(),
		HoldTimeout:         m.get("holdTimeoutMs").duration(DefaultHoldTimeout),
		MaxHeldRequests:     m.get("maxHeldRequests").integer(DefaultMaxHeldRequests, 0, maxCount, strconv.Itoa(DefaultMaxHeldRequests)),
		CloseSpread:         m.get("closeSpreadMs").duration(DefaultCloseSpread),
		UpgradeDrainTimeout: m.get("upgradeDrainTimeoutMs").duration(DefaultUpgradeDrainTimeout),
	}
	p.addresses(m)
	p.UpstreamHost = m.get("upstreamHost").host(upstreamDefault(p.Host))
	return p
}

// upstreamDefault is where a process is reached that the proxy's host does not
// name: no one can connect to "all addresses".
func upstreamDefault(host string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
		return DefaultProxyHost
	}
	return host
}

// host reads an optional IP address or host name.
func (v value) host(fallback string) string {
	s := v.text(fallback)
	if s == fallback || isHost(s) {
		return s
	}
	v.wrong("must be an IP address or a host name",
		v.set("an address without brackets, scheme and port", `"127.0.0.1"`))
	return fallback
}

func isHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return isPrintable(a.Zone())
	}
	return hostname.MatchString(s)
}

// port reads the optional number of one TCP port; 0 is any free one.
func (v value) port(fallback int) int {
	f, ok := v.number(float64(fallback), strconv.Itoa(fallback))
	switch {
	case !ok:
		return fallback
	case !isPort(f):
		v.wrong("must be an integer between 0 and 65535", v.set("a port number; 0 takes any free port", strconv.Itoa(fallback)))
		return fallback
	}
	return int(f)
}

func isPort(f float64) bool { return isInteger(f) && f >= 0 && f <= 65535 }

// prefixes reads the trusted proxies. The word "unix" adds nothing: peers on a
// Unix socket have no address, and are always trusted.
func (v value) prefixes() []netip.Prefix {
	const fix = "set proxy.trustedProxies to a list of addresses, CIDR ranges and the words loopback and unix, for example `trustedProxies: [loopback, 10.0.0.0/8]`"
	if !v.given() {
		return slices.Clone(loopback)
	}
	items, _ := v.items(fix)
	prefixes := []netip.Prefix{}
	for _, item := range items {
		switch s, _ := item.asText(); s {
		case "unix":
		case "loopback":
			prefixes = append(prefixes, loopback...)
		default:
			p, ok := parsePrefix(s)
			if !ok {
				item.wrong("must be an address or a CIDR range", fix)
				continue
			}
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return unmapped(p).Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// unmapped writes a range of IPv4 addresses in IPv6 form as IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// urlPath reads the optional path of a health check.
func (v value) urlPath(fallback string) string {
	s := v.text(fallback)
	switch {
	case s == fallback:
		return s
	case !strings.HasPrefix(s, "/"):
		v.wrong("must start with /", v.set("a path on the process, not a whole URL", fmt.Sprintf("%q", DefaultHealthPath)))
	case !isPrintable(s) || strings.ContainsAny(s, " #"):
		v.wrong("must be a URL path", v.set("a path with blanks and other special characters written as %XX", fmt.Sprintf("%q", DefaultHealthPath)))
	default:
		return s
	}
	return fallback
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
