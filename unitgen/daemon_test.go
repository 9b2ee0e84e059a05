package unitgen_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

const hosts = `
127.0.0.1	localhost
::1		ip6-localhost web.internal
10.0.0.7	Web.Internal web # the other one
10.0.0.8	web.internal
not-an-address broken
`

// daemon reads a configuration as that of an instance.
func daemon(t *testing.T, instance, text string) *config.Config {
	t.Helper()
	known := func(string) (int, error) { return 0, nil }
	const rest = "\nuser: app\nprocesses: [{id: web, policy: proxied, command: ./web, port: {from: 18000, to: 18099}}]\n"
	c, problems := config.Parse(config.InstanceFile(instance), []byte(text+rest), config.Options{LookupUser: known, LookupGroup: known})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

func TestDropInsOfTheDaemonAreTheGoldenOnes(t *testing.T) {
	for _, s := range []struct {
		golden, instance, text string
		listen, notes          []string
	}{
		{golden: "default", instance: "rollbridge", text: "proxy: {}"},
		{golden: "instance", instance: "my-shop", text: "proxy: {host: localhost, port: 9001}\nshutdownTimeoutMs: 1500\n" +
			`control: {path: /run/50% of it/control.sock, mode: "0666", owner: "DOMAIN\\ann", group: deploy}`},
		{golden: "addresses", instance: "a", text: "proxy: {}", listen: []string{
			"127.0.0.1:80", "[::1]:80", "0.0.0.0:81", "web.internal:82", "[fe80::1%eth0]:83", "[::ffff:10.0.0.1]:84", "unix:/run/shop/100%.sock", "127.0.0.1:80"}},
		{golden: "dual-stack", instance: "b", text: "proxy: {host: '::', port: 80}"},
		{golden: "notes", instance: "d", text: "proxy: {}", notes: []string{"What is wrong:", "", "a line\nand a half \\"}},
	} {
		c := daemon(t, s.instance, s.text)
		if s.listen != nil {
			c.Proxy.Listen = s.listen
		}
		addresses, problems := unitgen.Addresses(c, unitgen.Hosts(hosts))
		if len(problems) > 0 {
			t.Errorf("%s: %v", s.golden, problems)
		}
		compareDropIns(t, "daemon-"+s.golden, unitgen.DaemonDropIns(c, c.File, addresses, s.notes...))
	}
	compareDropIns(t, "daemon-bare", unitgen.BareDropIns("rollbridge", config.InstanceDir, "There is none."))
}

// compareDropIns compares all three in one golden file.
func compareDropIns(t *testing.T, golden string, dropIns []unitgen.DropIn) {
	t.Helper()
	var text strings.Builder
	for _, d := range dropIns {
		text.WriteString("## " + d.Path() + "\n" + d.Text())
	}
	compare(t, golden+".conf", text.String())
}

func TestWhatSystemdCannotListenAtIsAProblemWithItsPlace(t *testing.T) {
	for _, s := range []struct{ text, listen, want string }{
		{"proxy: {\n  port: 0}", "", `2:9: systemd cannot listen at port 0`},
		{"proxy: {port: 80,\n  host: web.example.com}", "", `2:9: systemd cannot listen at the name "web.example.com", which is not in /etc/hosts`},
		{"proxy:\n  {port: 80}", "unix:shop.sock", `2:3: systemd cannot listen at "unix:shop.sock"`},
		{"proxy:\n  {port: 80}", `unix:/run/shop\`, `2:3: systemd cannot listen at`},
		{"proxy: {}\ncontrol:\n  path: '/run/x\\'", "", `3:9: control.path has characters`},
		{"proxy: {}\ncontrol:\n  owner: ' ann'", "", `3:10: control.owner has characters`},
	} {
		c := daemon(t, "shop", s.text)
		if s.listen != "" {
			c.Proxy.Listen = []string{s.listen}
		}
		_, problems := unitgen.Addresses(c, unitgen.Hosts(hosts))
		if len(problems) != 1 || problems[0].Fix == "" {
			t.Errorf("%q: %v", s.text, problems)
			continue
		}
		p := problems[0]
		if got := strings.Join([]string{strconv.Itoa(p.Line), strconv.Itoa(p.Column), " " + p.Message}, ":"); !strings.HasPrefix(got, s.want) {
			t.Errorf("%q: got %s, want %s", s.text, got, s.want)
		}
	}
}

func TestNamesAreFoundInTheHostsFileAlone(t *testing.T) {
	lookup := unitgen.Hosts(hosts)
	for name, want := range map[string]string{
		"localhost": "127.0.0.1", "web.internal": "10.0.0.7", "WEB": "10.0.0.7", "ip6-localhost": "::1",
		"broken": "invalid IP", "other": "invalid IP", "the": "invalid IP",
	} {
		if got, _ := lookup(name); got.String() != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if ip, ok := unitgen.Hosts("")("localhost"); !ok || ip != netip.MustParseAddr("127.0.0.1") {
		t.Error("without a hosts file localhost is", ip)
	}
}

func TestAddressesOverlapWhenNotBothCanBeHad(t *testing.T) {
	address := func(text string) unitgen.Address {
		if strings.HasPrefix(text, "/") {
			return unitgen.Address{Path: text}
		}
		return unitgen.Address{IP: netip.MustParseAddrPort(text)}
	}
	for _, s := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true}, {"127.0.0.1:80", "127.0.0.1:81", false}, {"127.0.0.1:80", "127.0.0.2:80", false},
		{"0.0.0.0:80", "127.0.0.1:80", true}, {"0.0.0.0:80", "[::1]:80", false}, {"[::]:80", "127.0.0.1:80", true},
		{"[::]:80", "0.0.0.0:80", true}, {"[::]:80", "[::1]:80", true}, {"[::]:80", "[::]:81", false},
		{"/run/a", "/run/a", true}, {"/run/a", "/run/b", false}, {"/run/a", "[::]:80", false},
	} {
		if a, b := address(s.a), address(s.b); a.Overlaps(b) != s.want || b.Overlaps(a) != s.want {
			t.Errorf("%s and %s: want %v", s.a, s.b, s.want)
		}
	}
}

// The template is the default instance's unit with another name in it, and the
// generator's links in place of those that the package makes.
func TestTemplatesAreLikeTheUnitsOfTheDefaultInstance(t *testing.T) {
	const dir = "../packaging/systemd"
	for _, unit := range []string{"rollbridge.socket", "rollbridge-control.socket", "rollbridge.service"} {
		kind := filepath.Ext(unit)
		template := strings.TrimSuffix(unit, kind) + "@" + kind
		text, _, _ := strings.Cut(read(t, filepath.Join(dir, unit)), "\n[Install]\n")
		for _, name := range []struct{ old, new string }{
			{"rollbridge.socket", "rollbridge@%i.socket"},
			{"rollbridge-control.socket", "rollbridge-control@%i.socket"},
			{"=rollbridge.service", "=rollbridge@%i.service"},
			{"/etc/rollbridge/rollbridge.yaml", "/etc/rollbridge/%i.yaml"},
			{"/run/rollbridge/rollbridge/", "/run/rollbridge/%i/"},
		} {
			text = strings.ReplaceAll(text, name.old, name.new)
		}
		text = strings.ReplaceAll(text, "ListenStream=127.0.0.1:8182\n", "")
		text = onDescription(text, " of %i")
		if got := read(t, filepath.Join(dir, template)); got != text {
			t.Errorf("%s is not what %s makes of it:\n%s\nwant:\n%s", template, unit, got, text)
		}
	}
}

// onDescription appends to the line Description=.
func onDescription(text, suffix string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Description=") {
			line = strings.TrimSuffix(line, "\n") + suffix + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
