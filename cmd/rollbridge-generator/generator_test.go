package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rollbridge/unitgen"
)

// A machine is a root directory with configurations, and what the generator made
// of them.
type machine struct {
	root, units string
	said        []string // lines of the log
}

// newMachine has files, by their path.
func newMachine(t *testing.T, files map[string]string) *machine {
	t.Helper()
	m := &machine{root: t.TempDir(), units: t.TempDir()}
	for path, text := range files {
		m.write(t, path, text)
	}
	return m
}

func (m *machine) path(path string) string { return filepath.Join(m.root, path) }

func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// generate runs the generator once.
func (m *machine) generate() *machine {
	var said strings.Builder
	g := &generator{root: m.root, dir: m.units, log: &log{out: &said, format: "%s\n"}}
	g.run()
	m.said = strings.Split(strings.TrimSuffix(said.String(), "\n"), "\n")
	if said.Len() == 0 {
		m.said = nil
	}
	return m
}

// generated are the paths of what was written, in order.
func (m *machine) generated(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(m.units, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, strings.TrimPrefix(path, m.units+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// text is a generated file.
func (m *machine) text(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.units, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (m *machine) has(t *testing.T, path string, lines ...string) {
	t.Helper()
	text := m.text(t, path)
	for _, line := range lines {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("%s has no line %q:\n%s", path, line, text)
		}
	}
}

// says wants these lines in the log, by how they begin, and no others.
func (m *machine) says(t *testing.T, lines ...string) {
	t.Helper()
	if len(m.said) != len(lines) {
		t.Errorf("it says %q, want %q", m.said, lines)
		return
	}
	for i, line := range lines {
		if !strings.HasPrefix(m.said[i], line) {
			t.Errorf("it says %q, want %q", m.said[i], line)
		}
	}
}

// good is a configuration that can be used, and of which a line is wrong if it
// has more than these.
func good(application string, port int) string {
	return fmt.Sprintf("application: %s\nproxy: {port: %d}\nuser: nobody-knows-yet\nprocesses:\n  - {id: web, policy: proxied, command: ./web, port: {from: 18000, to: 18099}}\n", application, port)
}

// broken is a configuration with one mistake.
var broken = strings.Replace(good("broken", 9009), "port", "prot", 1)

// names of what an instance gets.
func dropIns(instance string) (all []string) {
	for _, d := range unitgen.BareDropIns(instance, "") {
		all = append(all, d.Path())
	}
	return all
}

func links(instance string) []string {
	units := unitgen.DaemonUnitsOf(instance)
	return []string{"multi-user.target.wants/" + units.Service, "sockets.target.wants/" + units.Control, "sockets.target.wants/" + units.Proxy}
}

func (m *machine) hasExactly(t *testing.T, lists ...[]string) {
	t.Helper()
	want := slices.Concat(lists...)
	slices.Sort(want)
	got := m.generated(t)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("generated is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEveryConfigurationIsAnInstance(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/etc/rollbridge/rollbridge.yaml":  good("shop", 8182),
		"/etc/rollbridge/my-blog.yaml":     good("blog", 9001),
		"/etc/rollbridge/.hidden.yaml":     broken,
		"/etc/rollbridge/shop.yaml~":       broken,
		"/etc/rollbridge/notes.txt":        broken,
		"/etc/rollbridge/env.yaml/secrets": broken,
	}).generate()
	m.says(t)
	m.hasExactly(t, dropIns("rollbridge"), dropIns("my-blog"), links("my-blog"))
	m.has(t, "rollbridge@my-blog.socket.d/50-rollbridge.conf", "ListenStream=", "ListenStream=127.0.0.1:9001", "SourcePath=/etc/rollbridge/my-blog.yaml")
	target, err := os.Readlink(filepath.Join(m.units, "sockets.target.wants/rollbridge-control@my-blog.socket"))
	if want := "/usr/lib/systemd/system/rollbridge-control@.socket"; err != nil || target != want {
		t.Errorf("the link is to %s, %v, want %s", target, err, want)
	}
}

func TestWithoutConfigurationsThereIsNothingToSay(t *testing.T) {
	m := newMachine(t, nil).generate()
	m.says(t)
	m.hasExactly(t)

	m = newMachine(t, map[string]string{"/etc/rollbridge/README": ""}).generate()
	m.says(t)
	m.hasExactly(t, dropIns("rollbridge"))
	m.has(t, "rollbridge.socket.d/50-rollbridge.conf", "# There is no /etc/rollbridge/rollbridge.yaml yet.", "SourcePath=/etc/rollbridge")
}

func TestABrokenConfigurationKeepsTheSettingsOfTheLastDeploy(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/etc/rollbridge/rollbridge.yaml":             broken,
		"/etc/rollbridge/shop.yaml":                   broken,
		"/etc/rollbridge/good.yaml":                   good("good", 9002),
		"/var/lib/rollbridge/rollbridge/active.yaml":  good("main", 8000),
		"/var/lib/rollbridge/shop/active.yaml":        good("shop", 9001),
		"/var/lib/rollbridge/not-there/active.yaml":   good("gone", 9009),
		"/var/lib/rollbridge/good/active.yaml":        broken,
		"/var/lib/rollbridge/rollbridge/another.yaml": broken,
	}).generate()
	const unknown = "unknown key proxy.prot; hint: did you mean `port`?"
	m.says(t,
		"/etc/rollbridge/rollbridge.yaml:2:9: "+unknown,
		"/etc/rollbridge/rollbridge.yaml: until it is mended its units keep the settings of the last deploy, in /var/lib/rollbridge/rollbridge/active.yaml",
		"/etc/rollbridge/shop.yaml:2:9: "+unknown,
		"/etc/rollbridge/shop.yaml: until it is mended")
	m.hasExactly(t, dropIns("rollbridge"), dropIns("shop"), links("shop"), dropIns("good"), links("good"), dropIns("not-there"))
	m.has(t, "rollbridge.socket.d/50-rollbridge.conf", "ListenStream=127.0.0.1:8000",
		"# The configuration cannot be used; these are the settings of the last deploy, in /var/lib/rollbridge/rollbridge/active.yaml.",
		"# "+m.said[0])
	m.has(t, "rollbridge@shop.service.d/50-rollbridge.conf", "TimeoutStopSec=100s", "# "+m.said[2], "SourcePath=/etc/rollbridge/shop.yaml")
}

// Deleted under a running daemon: its sockets must still be those of its units.
func TestADeletedConfigurationKeepsTheSettingsOfTheLastDeploy(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/var/lib/rollbridge/rollbridge/active.yaml": good("main", 8000),
		"/var/lib/rollbridge/shop/active.yaml":       good("shop", 9001),
		"/var/lib/rollbridge/copy/active.yaml":       good("shop", 9001),
		"/var/lib/rollbridge/broken/active.yaml":     broken,
		"/var/lib/rollbridge/.odd/active.yaml":       good("odd", 9003),
		"/var/lib/rollbridge/.applications/shop":     "shop",
	}).generate()
	m.says(t)
	m.hasExactly(t, dropIns("rollbridge"), dropIns("shop"), dropIns("copy"), dropIns("broken"))
	m.has(t, "rollbridge.socket.d/50-rollbridge.conf", "ListenStream=127.0.0.1:8000", "SourcePath=/etc/rollbridge",
		"# There is no /etc/rollbridge/rollbridge.yaml; these are the settings of the last deploy, in /var/lib/rollbridge/rollbridge/active.yaml.")
	m.has(t, "rollbridge@shop.socket.d/50-rollbridge.conf", "ListenStream=127.0.0.1:9001")

	m.write(t, "/etc/rollbridge/copy.yaml", good("shop", 9001))
	m.generate()
	m.says(t)
	m.hasExactly(t, dropIns("rollbridge"), dropIns("shop"), dropIns("copy"), links("copy"), dropIns("broken"))
}

func TestWithoutADeployABrokenConfigurationLeavesTheUnitsAsTheyAre(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/etc/rollbridge/rollbridge.yaml":      "{",
		"/etc/rollbridge/shop.yaml":            "{",
		"/var/lib/rollbridge/shop/active.yaml": "{",
	}).generate()
	m.says(t,
		"/etc/rollbridge/rollbridge.yaml:1:2: invalid YAML", "/etc/rollbridge/rollbridge.yaml: there are no settings of an earlier deploy. The units have their own",
		"/etc/rollbridge/shop.yaml:1:2: invalid YAML", "/etc/rollbridge/shop.yaml: there are no settings of an earlier deploy. Its units are not started at boot")
	m.hasExactly(t, dropIns("rollbridge"), dropIns("shop"))
	text := m.text(t, "rollbridge.socket.d/50-rollbridge.conf")
	if strings.Contains(text, "Listen") || !strings.Contains(text, "SourcePath=/etc/rollbridge/rollbridge.yaml") || !strings.Contains(text, "# "+m.said[0]) {
		t.Errorf("the drop-in is\n%s", text)
	}
}

func TestWhatTwoInstancesWantTheFirstHas(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/etc/rollbridge/rollbridge.yaml": good("shop", 8182),
		"/etc/rollbridge/copy.yaml":       good("copy", 8182),
		"/etc/rollbridge/more.yaml":       strings.Replace(good("more", 8183), "port:", "host: '::', port:", 1),
		"/etc/rollbridge/next.yaml":       good("shop", 8183) + "control: {path: /run/rollbridge/rollbridge/control.sock}\n",
	}).generate()
	m.says(t,
		"/etc/rollbridge/copy.yaml: the address 127.0.0.1:8182 is that of /etc/rollbridge/rollbridge.yaml, so its units are not started at boot; hint: ",
		`/etc/rollbridge/next.yaml: the application "shop" is that of /etc/rollbridge/rollbridge.yaml`,
		"/etc/rollbridge/next.yaml: the address /run/rollbridge/rollbridge/control.sock is that of /etc/rollbridge/rollbridge.yaml",
		"/etc/rollbridge/next.yaml: the address 127.0.0.1:8183 is that of /etc/rollbridge/more.yaml")
	m.hasExactly(t, dropIns("rollbridge"), dropIns("copy"), dropIns("more"), links("more"), dropIns("next"))
	m.has(t, "rollbridge@next.socket.d/50-rollbridge.conf", "ListenStream=127.0.0.1:8183", "# "+m.said[1])
}

func TestNamesThatCannotBeInstancesAreReported(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/etc/rollbridge/my shop.yaml":   good("a", 1),
		"/etc/rollbridge/größe.yaml":     good("b", 2),
		"/etc/rollbridge/a@b.yaml":       good("c", 3),
		`/etc/rollbridge/a\x2eb.yaml`:    good("d", 4),
		"/etc/rollbridge/%i.yaml":        good("e", 5),
		"/etc/rollbridge/shop.yml":       good("f", 6),
		"/etc/rollbridge/line\nend.yaml": good("g", 7),
		"/etc/rollbridge/v1.2_a-b.yaml":  good("h", 8),
	}).generate()
	if len(m.said) != 7 {
		t.Errorf("it says %q", m.said)
	}
	for _, line := range m.said {
		if !strings.Contains(line, "cannot be the name of an instance; hint: rename the file") && line != "/etc/rollbridge/shop.yml is of no instance; hint: rename it to /etc/rollbridge/shop.yaml" {
			t.Errorf("it says %q", line)
		}
	}
	m.hasExactly(t, dropIns("rollbridge"), dropIns("v1.2_a-b"), links("v1.2_a-b"))
}

func TestWhatIsNoFileIsReportedAndNotWaitedFor(t *testing.T) {
	m := newMachine(t, map[string]string{
		"/etc/rollbridge/good.yaml": good("good", 9001),
		"/etc/rollbridge/huge.yaml": strings.Repeat("# \n", 1<<19),
	})
	must(t, syscall.Mkfifo(m.path("/etc/rollbridge/pipe.yaml"), 0o644))
	must(t, os.Symlink("/nowhere", m.path("/etc/rollbridge/dangling.yaml")))
	must(t, os.Symlink("/nowhere/else", m.path("/etc/rollbridge/rollbridge.yaml")))
	must(t, os.Symlink("/", m.path("/etc/rollbridge/root.yaml")))
	m.generate()
	said := strings.Join(m.said, "\n")
	for _, want := range []string{"dangling.yaml does not exist;", "huge.yaml is larger than 1048576 bytes;", "pipe.yaml is not a regular file;", "root.yaml is a directory;"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says %s\nwant %q", said, want)
		}
	}
	m.hasExactly(t, dropIns("rollbridge"), dropIns("good"), links("good"), dropIns("dangling"), dropIns("huge"), dropIns("pipe"), dropIns("root"))
}

func TestADirectoryThatCannotBeReadIsReported(t *testing.T) {
	m := newMachine(t, map[string]string{"/etc/rollbridge": "a file"}).generate()
	m.says(t, "/etc/rollbridge cannot be read: not a directory; hint: ")
	m.hasExactly(t)

	m.write(t, "/var/lib/rollbridge/rollbridge/active.yaml", good("main", 8000))
	m.generate()
	m.hasExactly(t, dropIns("rollbridge"))
	m.has(t, "rollbridge.socket.d/50-rollbridge.conf", "ListenStream=127.0.0.1:8000")
}

func TestWhatCannotBeWrittenIsReported(t *testing.T) {
	m := newMachine(t, map[string]string{"/etc/rollbridge/shop.yaml": good("shop", 9001)})
	must(t, os.WriteFile(filepath.Join(m.units, "rollbridge@shop.socket.d"), nil, 0o644))
	m.generate()
	if len(m.said) != 1 || !strings.HasPrefix(m.said[0], "rollbridge@shop.socket: ") {
		t.Errorf("it says %q", m.said)
	}
	m.hasExactly(t, dropIns("rollbridge"), []string{"rollbridge@shop.socket.d"}) // and no links
}

func TestWhatItSaysIsBounded(t *testing.T) {
	files := map[string]string{}
	for i := range 50 {
		files[fmt.Sprintf("/etc/rollbridge/i%02d.yaml", i)] = strings.Repeat("x", 5000) + ": 1\n" + strings.Repeat("unknown: 1\n", 1000)
	}
	m := newMachine(t, files).generate()
	if len(m.said) != maxLines || !strings.HasPrefix(m.said[maxLines-1], "there are more problems") {
		t.Errorf("it says %d lines, at the end %q", len(m.said), m.said[len(m.said)-1])
	}
	for _, line := range m.said {
		if len(line) > maxLine+len("…") {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	if !slices.ContainsFunc(m.said, func(s string) bool {
		return strings.HasPrefix(s, "/etc/rollbridge/i00.yaml: ") && strings.Contains(s, " further problems; hint: rollbridge validate --config /etc/rollbridge/i00.yaml")
	}) {
		t.Errorf("it says %q", m.said[:12])
	}
}

func TestAPipeInPlaceOfTheKernelLogIsNotWrittenTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	must(t, syscall.Mkfifo(path, 0o600))
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer reader.Close()
	if openKernelLog(path) != nil {
		t.Error("a pipe is taken")
	}
	if openKernelLog("/dev/null") != nil {
		t.Error("another device is taken")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
