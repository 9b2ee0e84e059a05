package config

import (
	"slices"
	"strings"
	"testing"
)

// listening is a configuration with that proxy.
func listening(proxy string) string {
	return "application: shop\nproxy: {" + proxy + "}\nprocesses: [{id: web, policy: proxied, command: x, port: {from: 1, to: 2}}]\n"
}

func TestProxyListensOnAllItsAddresses(t *testing.T) {
	for _, row := range []struct {
		proxy    string
		host     string
		port     int
		upstream string
		listen   []string
	}{
		{"", "127.0.0.1", 8182, "127.0.0.1", []string{"127.0.0.1:8182"}},
		{"host: '::1', port: 1", "::1", 1, "::1", []string{"[::1]:1"}},
		{`listen: ["0.0.0.0:80", "[::1]:81", "unix:/run/x.sock"]`, "0.0.0.0", 80, "127.0.0.1", []string{"0.0.0.0:80", "[::1]:81", "unix:/run/x.sock"}},
		{`listen: ["unix:/run/x.sock", "web.example:443", "127.0.0.1:443"]`, "web.example", 443, "web.example", []string{"unix:/run/x.sock", "web.example:443", "127.0.0.1:443"}},
		{`listen: ["unix:/run/x.sock"]`, "127.0.0.1", 8182, "127.0.0.1", []string{"unix:/run/x.sock"}},
		{`listen: ["unix:run/../x.sock", "unix:/run//y.sock"]`, "127.0.0.1", 8182, "127.0.0.1", []string{"unix:/srv/shop/x.sock", "unix:/run/y.sock"}},
		{`listen: ["127.0.0.1:1", "127.0.0.2:2"], host: 127.0.0.1, port: 1`, "127.0.0.1", 1, "127.0.0.1", []string{"127.0.0.1:1", "127.0.0.2:2"}},
		{`listen: ["127.0.0.1:0", "127.0.0.2:0", "0.0.0.0:1"]`, "127.0.0.1", 0, "127.0.0.1", []string{"127.0.0.1:0", "127.0.0.2:0", "0.0.0.0:1"}},
	} {
		c, problems := Parse("/srv/shop/rollbridge.yaml", []byte(listening(row.proxy)), testOptions)
		if len(problems) > 0 {
			t.Errorf("%s: %v", row.proxy, problems)
			continue
		}
		p := c.Proxy
		if p.Host != row.host || p.Port != row.port || p.UpstreamHost != row.upstream || !slices.Equal(p.Listen, row.listen) {
			t.Errorf("%s: host %s, port %d, upstream host %s, listen %q", row.proxy, p.Host, p.Port, p.UpstreamHost, p.Listen)
		}
	}
}

func TestWrongAddressesAreExplained(t *testing.T) {
	long := "/" + strings.Repeat("x", maxSocketPath)
	for _, row := range []struct{ proxy, message, fix string }{
		{`listen: []`, "proxy.listen must hold at least one address", "host:port"},
		{`listen: "127.0.0.1:1"`, "proxy.listen must be an array", "host:port"},
		{`listen: [":80"]`, "proxy.listen[0] must be an address host:port or unix:/path", "write 0.0.0.0:80"},
		{`listen: [8182]`, "proxy.listen[0] must be an address host:port or unix:/path", "127.0.0.1:8182"},
		{`listen: ["127.0.0.1:65536"]`, "proxy.listen[0] must be an address host:port or unix:/path", "127.0.0.1:8182"},
		{`listen: ["/run/s"]`, "proxy.listen[0] must be an address host:port or unix:/path", "a Unix socket is unix:/run/s"},
		{`listen: ["unix:"]`, "proxy.listen[0] must be the path of a Unix socket", "unix:/run/shop/proxy.sock"},
		{`listen: ["unix:/run/"]`, "proxy.listen[0] must be the path of a Unix socket", "unix:/run/shop/proxy.sock"},
		{`listen: ["unix:/a\nb"]`, "proxy.listen[0] must be the path of a Unix socket", "unix:/run/shop/proxy.sock"},
		{`listen: ["unix:@x"]`, "proxy.listen[0] must be the path of a Unix socket: abstract sockets are not supported", "write a path"},
		{`listen: ["unix:\0x"]`, "proxy.listen[0] must be the path of a Unix socket: abstract sockets are not supported", "write a path"},
		{`listen: ["unix:` + long + `"]`, "proxy.listen[0] must be at most 107 bytes long: " + long, "shorter"},
		{`listen: ["a:1", "A:1"]`, "proxy.listen[1] is given twice: A:1", "remove"},
		{`listen: ["unix:/a", "unix:/b/../a"]`, "proxy.listen[1] is given twice: unix:/a", "remove"},
		{`listen: ["127.0.0.1:1", "[::ffff:127.0.0.1]:1"]`, "proxy.listen[1] overlaps with 127.0.0.1:1: [::ffff:127.0.0.1]:1", "remove"},
		{`listen: ["127.0.0.1:1", "0.0.0.0:1"]`, "proxy.listen[1] overlaps with 127.0.0.1:1: 0.0.0.0:1", "remove"},
		{`listen: ["[::]:1", "127.0.0.1:1"]`, "proxy.listen[1] overlaps with [::]:1: 127.0.0.1:1", "remove"},
		{`listen: ["0.0.0.0:1", "[::]:1"]`, "proxy.listen[1] overlaps with 0.0.0.0:1: [::]:1", "[::] for all there are"},
		{`listen: ["unix:/a"], port: 8182`, "proxy.listen and proxy.host, proxy.port name different addresses", "remove proxy.host"},
		{`listen: ["a:1", "b:2"], port: 2`, "proxy.listen and proxy.host, proxy.port name different addresses", "remove proxy.host"},
	} {
		_, problems := Parse("/x.yaml", []byte(listening(row.proxy)), testOptions)
		if len(problems) != 1 || problems[0].Message != row.message || !strings.Contains(problems[0].Fix, row.fix) {
			t.Errorf("%s: %+v; want %s", row.proxy, problems, row.message)
		}
	}
	if got := messages(listening(`listen: ["0.0.0.0:1", "[::1]:1", "unix:/a", "unix:/A"]`), testOptions); len(got) > 0 {
		t.Errorf("apart: %q", got)
	}
}

func TestProxyIsKeptOffTheControlSocket(t *testing.T) {
	got := messages(listening(`listen: ["unix:/run/c.sock"]`)+"control: {path: /run/../run/c.sock}\n", testOptions)
	if !slices.Equal(got, []string{"control.path must not be an address of proxy.listen: /run/../run/c.sock"}) {
		t.Errorf("%q", got)
	}
}
