package config

import (
	"fmt"
	"os"
	"os/user"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const renderSource = `application: shop
proxy: {host: 0.0.0.0, port: 0}
user: me
group: me
processes:
  - {id: web, policy: proxied, command: ./web, port: 0}
  - {id: db-1, policy: service, command: ./db, port: 7000}
  - {id: w, command: ./w, replicas: 3}
  - {id: one, command: ./one}
`

var renderVars = Vars{
	Release: "r1", ReleasePath: "/srv/shop/r1", Revision: "abc", Generation: 2, Replica: 1,
	Ports: map[string]int{"web": 18001, "db-1": 7000},
	LookupEnv: func(name string) (string, bool) {
		v, ok := map[string]string{"X": "{{releaseId}}", "EMPTY": ""}[name]
		return v, ok
	},
}

func renderCommand(t *testing.T, id, command string) (string, error) {
	t.Helper()
	c := parse(t, renderSource)
	p := *c.Process(id)
	p.Command = command
	s, err := c.Render(&p, renderVars)
	return s.Command, err
}

// Checks 48, 49, 52, 54, 55 and 62.
func TestPlaceholders(t *testing.T) {
	tests := []struct{ id, text, want string }{
		{"web", "{{application}} {{releaseId}} {{releasePath}} {{revision}}", "shop r1 /srv/shop/r1 abc"},
		{"web", "{{processId}} {{port}} {{ports.web}} {{ports.db-1}}", "web 18001 18001 7000"},
		{"web", "{{proxy.host}} {{proxy.port}} {{proxy.upstreamHost}}", "0.0.0.0 0 127.0.0.1"},
		{"w", "{{processId}} {{replicaIndex}}/{{replicaCount}}", "w 1/3"},
		{"web", "{{  releaseId\t}}{{\nreleaseId\n}}", "r1r1"},
		{"web", "{{env.X}} [{{env.EMPTY}}]", "{{releaseId}} []"},
		{"web", "{{{releaseId}}} {{a b}} {{}} {{ x! }} {{", "{r1} {{a b}} {{}} {{ x! }} {{"},
	}
	for _, tt := range tests {
		if got, err := renderCommand(t, tt.id, tt.text); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

// Checks 50, 51 and 53.
func TestMissingValuesAreNamedAsWritten(t *testing.T) {
	for _, text := range []string{
		"{{nope}}", "{{ env.NOT_SET }}", "{{port}}", "{{ports.nope}}", "{{ports}}", "{{env.X.Y}}", "{{proxy}}", "{{proxy.nope}}",
		"{{releaseId.x}}", "{{.}}", "{{ports.}}", "{{env.}}",
	} {
		_, err := renderCommand(t, "one", "x "+text+" {{nope2}}")
		if want := "process one: command: Missing template value for " + text; err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestErrorsNameTheField(t *testing.T) {
	c := parse(t, renderSource)
	p := *c.Process("one")
	p.Env = map[string]string{"A": "ok", "B": "{{nope}}"}
	if _, err := c.Render(&p, renderVars); err == nil || err.Error() != "process one: env.B: Missing template value for {{nope}}" {
		t.Error(err)
	}
	p.Env, p.Dir = nil, "{{nope}}"
	if _, err := c.Render(&p, renderVars); err == nil || err.Error() != "process one: cwd: Missing template value for {{nope}}" {
		t.Error(err)
	}
	v := renderVars
	v.ReleasePath = "relative"
	if _, err := c.Render(c.Process("one"), v); err == nil || !strings.Contains(err.Error(), `"relative" is not absolute`) {
		t.Error(err)
	}
}

// Check 59.
func TestDirectoryIsBelowTheRelease(t *testing.T) {
	c := parse(t, renderSource)
	for dir, want := range map[string]string{
		"": "/srv/shop/r1", "public": "/srv/shop/r1/public", "{{releaseId}}/x": "/srv/shop/r1/r1/x", "/opt/x": "/opt/x", "{{env.EMPTY}}": "/srv/shop/r1",
	} {
		p := *c.Process("web")
		p.Dir = dir
		if s, err := c.Render(&p, renderVars); err != nil || s.Dir != want {
			t.Errorf("%q: %q, %v", dir, s.Dir, err)
		}
	}
}

// Checks 56, 57 and 61.
func TestInjectedEnvironmentThenOwn(t *testing.T) {
	c := parse(t, renderSource)
	p := *c.Process("w")
	p.Env = map[string]string{"ROLLBRIDGE_RELEASE_ID": "mine", "B": "{{revision}}", "A": "1"}
	s, err := c.Render(&p, renderVars)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ROLLBRIDGE_APPLICATION=shop", "ROLLBRIDGE_PROCESS_ID=w", "ROLLBRIDGE_RELEASE_ID=mine", "ROLLBRIDGE_RELEASE_PATH=/srv/shop/r1",
		"ROLLBRIDGE_REVISION=abc", "ROLLBRIDGE_REPLICA_INDEX=1", "ROLLBRIDGE_REPLICA_COUNT=3",
		"ROLLBRIDGE_DB_1_PORT=7000", "ROLLBRIDGE_WEB_PORT=18001", "A=1", "B=abc",
	}
	if got := environment(t, nil, Spec{Injected: s.Injected, Env: s.Env}); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if s.Instance != "w#1" || s.Process != "w" || s.Port != 0 || s.Generation != 2 || s.User != "me" || s.Group != "me" {
		t.Errorf("%+v", s)
	}
	web, _ := c.Render(c.Process("web"), renderVars)
	if !slices.Contains(web.Injected, "ROLLBRIDGE_PORT=18001") || web.Port != 18001 || web.Instance != "web" {
		t.Errorf("%+v", web)
	}
}

func TestGroupGoesWithItsUser(t *testing.T) {
	c := &Config{User: "app", Group: "www"}
	for _, tt := range []struct{ user, group, wantUser, wantGroup string }{
		{"", "", "app", "www"}, {"", "mail", "app", "mail"}, {"job", "", "job", ""}, {"job", "mail", "job", "mail"},
	} {
		u, g := c.account(&Process{User: tt.user, Group: tt.group})
		if u != tt.wantUser || g != tt.wantGroup {
			t.Errorf("%+v: %q %q", tt, u, g)
		}
	}
}

// environment is that of a process with the rights of this one.
func environment(t *testing.T, daemon []string, s Spec) []string {
	t.Helper()
	env, err := Environment(daemon, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// Check 58.
func TestEnvironmentDropsWhatIsTheDaemons(t *testing.T) {
	daemon := []string{
		"PATH=/bin", "LISTEN_FDS=1", "LISTEN_PID=2", "LISTEN_FDNAMES=x", "NOTIFY_SOCKET=/x", "WATCHDOG_USEC=1", "WATCHDOG_PID=1", "MEMORY_PRESSURE_WATCH=/x", "MEMORY_PRESSURE_WRITE=x", "INVOCATION_ID=x",
		"JOURNAL_STREAM=1:2", "ROLLBRIDGE_RUNNER=direct", "ROLLBRIDGE_DAEMON_RUNTIME_MANIFEST=x", "ROLLBRIDGE_APPLICATION=other", "nonsense", "=x", "A=1", "A=2", "HOME=/me",
	}
	got := environment(t, daemon, Spec{Env: []string{"ROLLBRIDGE_APPLICATION=shop", "B=1", "LISTEN_FDS=own"}})
	want := []string{"PATH=/bin", "ROLLBRIDGE_APPLICATION=shop", "A=2", "HOME=/me", "B=1", "LISTEN_FDS=own"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestEnvironmentIsThatOfTheUser(t *testing.T) {
	const stranger = "4294000001" // nobody's
	got := environment(t, []string{"HOME=/me", "USER=me", "LOGNAME=me", "SHELL=/bin/zsh"}, Spec{User: stranger, Env: []string{"SHELL=/bin/own"}})
	if want := []string{"HOME=/", "USER=" + stranger, "LOGNAME=" + stranger, "SHELL=/bin/own"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	own := fmt.Sprint(os.Geteuid())
	if got := environment(t, []string{"HOME=/me"}, Spec{User: own}); !slices.Equal(got, []string{"HOME=/me"}) {
		t.Errorf("own user: %q", got)
	}
	if nobody, err := user.Lookup("nobody"); err == nil && nobody.Uid != own {
		got := environment(t, []string{"HOME=/me"}, Spec{User: nobody.Uid})
		if want := []string{"HOME=" + nobody.HomeDir, "USER=nobody", "LOGNAME=nobody", "SHELL=/bin/sh"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLiveChangesAreNamedInOrder(t *testing.T) {
	const src = `application: shop
proxy: {host: 127.0.0.1, port: 1, upstreamHost: 127.0.0.1}
control: {mode: "0600"}
statePath: /a
processes:
  - {id: web, policy: proxied, command: x, port: 1}
  - {id: job, command: x}
`
	old := parse(t, src)
	next := func(replace ...string) *Config { return parse(t, strings.NewReplacer(replace...).Replace(src)) }
	tests := []struct {
		next *Config
		want []string
	}{
		{next("application: shop", "application: a", "0600", "0660", "/a", "/b", "host: 127.0.0.1, port: 1", "host: 127.0.0.2, port: 2",
			"upstreamHost: 127.0.0.1", "upstreamHost: 127.0.0.3", "id: job", "id: job2"),
			[]string{"application", "control", "statePath", "proxy.host", "proxy.port", "proxy.upstreamHost", "processes"}},
		{next("application: shop", "application: a"), []string{"application", "control"}}, // the default path moves along
		{next("host: 127.0.0.1, port: 1,", `listen: ["127.0.0.1:1"],`), nil},
		{next("host: 127.0.0.1, port: 1,", `listen: ["127.0.0.1:1", "unix:/s"],`), []string{"proxy.listen"}},
		{next("host: 127.0.0.1, port: 1,", `listen: ["unix:/s", "127.0.0.1:1"],`), []string{"proxy.listen"}},
		{next("host: 127.0.0.1, port: 1,", `listen: ["unix:/s"],`), []string{"proxy.port", "proxy.listen"}},
		{next("host: 127.0.0.1, port: 1,", `listen: ["127.0.0.1:2", "127.0.0.1:1"],`), []string{"proxy.port", "proxy.listen"}},
		{next("{mode: \"0600\"}", "{}"), []string{"control"}},
		{next("{mode: \"0600\"}", "{mode: \"0600\", owner: me}"), []string{"control"}},
		{next("id: job,", "id: job, policy: singleton,"), []string{"processes"}},
		{next("id: job,", "id: job, replicas: 2,"), []string{"processes"}},
		{next("id: job,", "id: job, port: 2,"), []string{"processes"}},
		{next("port: 1}\n", "port: 2}\n"), []string{"processes"}},
		{next("  - {id: job, command: x}\n", ""), []string{"processes"}},
		{next("command: x", "command: y, cwd: d, env: {A: b}, health: {path: /x}, stopSignal: SIGINT, gracefulStopMs: 1, outputLines: 3, restartDelayMs: 1"), nil},
		{next("port: 1, up", "port: 1, drainTimeoutMs: 1, healthPath: /x, up", "statePath", "releaseRetention: {keep: 1}\nlegacyTakeover: {screens: [a]}\nstatePath"), nil},
		{next("  - {id: web, policy: proxied, command: x, port: 1}\n", "", "{id: job, command: x}\n", "{id: job, command: x}\n  - {id: web, policy: proxied, command: x, port: 1}\n"), nil},
	}
	for i, tt := range tests {
		if got := old.LiveChanges(tt.next); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%d: got %v, want %v", i, got, tt.want)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, seed := range []string{"{{port}}", "{{ ports.db-1 }}", "{{{x}}}", "{{env.X}}", "{{a.b.c}}", "{{\u00a0releaseId}}", "\xff{{", "{{..}}"} {
		f.Add(seed)
	}
	c, problems := Parse("/x.yaml", []byte(renderSource), testOptions)
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := *c.Process("web")
		p.Command = text
		s, err := c.Render(&p, renderVars)
		if err != nil {
			_, missing, found := strings.Cut(err.Error(), "Missing template value for ")
			if !found || !strings.Contains(text, missing) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if !strings.Contains(text, "{{") && s.Command != text {
			t.Errorf("%q became %q", text, s.Command)
		}
	})
}
