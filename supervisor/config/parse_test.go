package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testOptions are those of an ordinary user on a host with two users.
var testOptions = Options{
	UID: 1000, GID: 1000, RuntimeDir: "/run/user/1000", Home: "/home/me",
	LookupUser:  ids(map[string]int{"root": 0, "me": 1000, "app": 990}),
	LookupGroup: ids(map[string]int{"root": 0, "me": 1000, "www-data": 33}),
}

func ids(known map[string]int) func(string) (int, error) {
	return func(name string) (int, error) {
		if id, ok := known[name]; ok {
			return id, nil
		}
		return 0, errors.New("no such name")
	}
}

func asRoot() Options {
	opt := testOptions
	opt.UID, opt.GID, opt.RuntimeDir, opt.Home = 0, 0, "", "/root"
	return opt
}

// with is a valid configuration with more keys for the web process, and more
// text behind it.
func with(web, rest string) string {
	var b strings.Builder
	b.WriteString("application: shop\nproxy: {port: 8182}\nprocesses:\n  - id: web\n    policy: proxied\n    command: ./web\n")
	if !strings.Contains(web, "port:") {
		b.WriteString("    port: {from: 18000, to: 18099}\n")
	}
	for line := range strings.Lines(web) {
		b.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
	}
	b.WriteString(rest)
	return b.String()
}

func parse(t *testing.T, src string) *Config {
	t.Helper()
	c, problems := Parse("/srv/shop/rollbridge.yaml", []byte(src), testOptions)
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, src)
	}
	return c
}

func messages(src string, opt Options) []string {
	_, problems := Parse("/srv/shop/rollbridge.yaml", []byte(src), opt)
	var all []string
	for _, p := range problems {
		all = append(all, p.Message)
	}
	return all
}

func more(fields string) string { return "  - {id: more, command: ./more, " + fields + "}\n" }

// The number is that of the black-box check, 0 for rules without one.
func TestEveryMistakeHasItsMessage(t *testing.T) {
	replicas := func(id string) string {
		return fmt.Sprintf("Process %q can only set replicas > 1 on a companion process without a port", id)
	}
	tests := []struct {
		check int
		src   string
		want  []string
	}{
		{9, "null", []string{"Config must be an object", "proxy is required", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
		{9, "[]", []string{"Config must be an object", "proxy is required", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
		{10, "{}", []string{"proxy is required", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
		{10, "", []string{"proxy is required", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
		{10, "# nothing\n", []string{"proxy is required", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
		{14, strings.Replace(with("", ""), "shop", "5", 1), []string{"application must be a string"}},
		{16, strings.Replace(with("", ""), "8182", `"80"`, 1), []string{"proxy.port must be a number"}},
		{19, with("", `control: {mode: "999"}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{19, with("", `control: {mode: "1777"}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{19, with("", `control: {mode: 512}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{19, with("", `control: {mode: true}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{19, with("", `control: {mode: ""}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{19, with("", `control: {mode: "00000"}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{19, with("", `control: {mode: 0x1B0}`), []string{"control.mode must be an octal file mode between 0 and 0o777"}},
		{20, with("", `control: {owner: -1, group: ""}`), []string{"control.owner must be a non-negative integer id or a name", "control.group must be a non-negative integer id or a name"}},
		{21, with("", `control: {owner: nosuchuser}`), []string{`Unknown user "nosuchuser"`}},
		{21, with("", `control: {group: nosuchgroup}`), []string{`Unknown group "nosuchgroup"`}},
		{22, with("", "  - {id: web, command: ./x}"), []string{"Duplicate process id: web"}},
		{23, with("", "  - {id: a#b, command: ./x}"), []string{`Process id "a#b" must not contain "#"`}},
		{24, with("", more("policy: proxied, port: 1")), []string{"Config must define exactly one proxied process; found 2"}},
		{25, strings.Replace(with("", ""), "    port: {from: 18000, to: 18099}\n", "", 1), []string{"Proxied process web must define a port range"}},
		{26, with("", more("policy: nope")), []string{"processes[1].policy must be one of: proxied, companion, singleton, service"}},
		{26, with("", more("deployStrategy: nope")), []string{"processes[1].deployStrategy must be one of: persistent, handoff"}},
		{27, with("port: {from: 5, to: 4}", ""), []string{"processes[0].port must be a positive port or valid {from, to} range"}},
		{27, with("port: -1", ""), []string{"processes[0].port must be a positive port or valid {from, to} range"}},
		{27, with(`port: "80"`, ""), []string{"processes[0].port must be a positive port or valid {from, to} range"}},
		{27, with(`port: 1.5`, ""), []string{"processes[0].port must be a positive port or valid {from, to} range"}},
		{27, with(`port: 65536`, ""), []string{"processes[0].port must be a positive port or valid {from, to} range"}},
		{27, with(`port: [1]`, ""), []string{"processes[0].port must be a positive port or valid {from, to} range"}},
		{29, with("env: {A: 5}", ""), []string{"processes[0].env.A must be a string"}},
		{29, with("env: {A: null}", ""), []string{"processes[0].env.A is required"}},
		{29, with("env: 5", ""), []string{"processes[0].env must be an object"}},
		{31, with("health: true", ""), []string{"processes[0].health must be an object"}},
		{32, with("health: {startDelayMs: -1}", ""), []string{"processes[0].health.startDelayMs must be a non-negative number"}},
		{33, with("restart: {maxRestarts: -1, windowMs: -1, backoffFactor: 0.5, maxDelayMs: -1}", ""), []string{
			"processes[0].restart.maxRestarts must be a non-negative integer", "processes[0].restart.windowMs must be a non-negative number",
			"processes[0].restart.backoffFactor must be a number greater than or equal to 1", "processes[0].restart.maxDelayMs must be a non-negative number"}},
		{34, with("restart: 5", ""), []string{"processes[0].restart must be an object"}},
		{35, with("outputLines: 0", ""), []string{"processes[0].outputLines must be a positive integer"}},
		{36, with("", "releaseRetention: {keep: 1.5}"), []string{"releaseRetention.keep must be a non-negative integer"}},
		{37, with("stopSignal: TERM", ""), []string{"processes[0].stopSignal must be a valid signal name"}},
		{38, with("gracefulStopMs: x", ""), []string{"processes[0].gracefulStopMs must be a number"}},
		{39, with("lifecycle: {drainCommand: x}", ""), []string{"processes[0].lifecycle.drainCommand requires a positive processes[0].lifecycle.drainTimeoutMs"}},
		{39, with("lifecycle: {drainCommand: null, drainTimeoutMs: 1}", ""), []string{"processes[0].lifecycle.drainCommand is required"}},
		{40, with("lifecycle: {stopCommand: x}\nstopSignal: SIGINT", ""), []string{`Process "web" sets both lifecycle.stopCommand and a custom stopSignal, but stopCommand replaces stopSignal`}},
		{41, with("memory: {}", ""), []string{"processes[0].memory.limitBytes must be a positive integer"}},
		{42, with("replicas: 2", ""), []string{replicas("web")}},
		{42, with("", more("policy: singleton, replicas: 2")), []string{replicas("more")}},
		{42, with("", more("policy: service, replicas: 2")), []string{replicas("more")}},
		{42, with("", more("port: 5, replicas: 2")), []string{replicas("more")}},
		{43, with("", more("policy: singleton, nonBlockingDrain: true")), []string{`Process "more" can only set nonBlockingDrain on a companion process`}},
		{43, with("", more("nonBlockingDrain: 1")), []string{"processes[1].nonBlockingDrain must be a boolean"}},
		{44, with("", more("deployStrategy: handoff")), []string{`Process "more" can only set deployStrategy: "handoff" on a service process`}},
		{44, with("", more("policy: service, deployStrategy: handoff")), []string{`Handoff service "more" must define a port range`}},
		{44, with("", more("policy: service, deployStrategy: handoff, port: 70")), []string{`Handoff service "more" must use a multi-port range`}},
		{44, with("", more("policy: service, deployStrategy: handoff, port: 0")), []string{`Handoff service "more" must use a multi-port range`}},
		{45, with("", "statePath: 5"), []string{"statePath must be a string"}},
		{46, with("", "legacyTakeover: {}"), []string{"legacyTakeover must define at least one screen or process matcher"}},
		{47, with("restrat: {}", ""), []string{"unknown key processes[0].restrat"}},

		{0, "proxy: 5\ncontrol: 5\nprocesses: 5", []string{"proxy must be an object", "control must be an object", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
		{0, with("", "  - 5\n  - null"), []string{"processes[1] must be an object", "processes[2] must be an object"}},
		{0, with("cwd: null", ""), []string{"processes[0].cwd is required"}},
		{0, with("", "releaseRetention: 5"), []string{"releaseRetention must be an object"}},
		{0, with("", "legacyTakeover: 5"), []string{"legacyTakeover must be an object"}},
		{0, with("", "legacyTakeover: {screens: 5, processes: 5}"), []string{
			"legacyTakeover must define at least one screen or process matcher", "legacyTakeover.screens must be an array", "legacyTakeover.processes must be an array"}},
		{0, with("", `legacyTakeover: {screens: [a, ""], processes: [5, {includes: 5}, {includes: [""]}, {name: x}]}`), []string{
			"legacyTakeover.screens[1] must be a non-empty string", "legacyTakeover.processes[0] must be an object", "legacyTakeover.processes[1].includes must be an array",
			"legacyTakeover.processes[2].includes must contain at least one matcher", "legacyTakeover.processes[2].includes[0] must be a non-empty string",
			"legacyTakeover.processes[3].includes must be an array"}},
		{0, with("memory: {limitBytes: 5, warnBytes: -1, checkIntervalMs: 0}", ""), []string{
			"processes[0].memory.warnBytes must be a non-negative integer", "processes[0].memory.checkIntervalMs must be a positive number"}},

		// What the original let pass.
		{0, strings.Replace(with("", ""), "8182", "65536", 1), []string{"proxy.port must be an integer between 0 and 65535"}},
		{0, strings.Replace(with("", ""), "8182", "80.5", 1), []string{"proxy.port must be an integer between 0 and 65535"}},
		{0, strings.Replace(with("", ""), "8182", "08182", 1), []string{"proxy.port must be a number"}},
		{0, strings.Replace(with("", ""), "port: 8182", "forceStopTimeoutMs: -1", 1), []string{"proxy.forceStopTimeoutMs must be a non-negative number"}},
		{0, strings.Replace(with("", ""), "port: 8182", "drainTimeoutMs: 9e15", 1), []string{"proxy.drainTimeoutMs must be at most 3153600000000"}},
		{0, strings.Replace(with("", ""), "port: 8182", "healthPath: ping", 1), []string{"proxy.healthPath must start with /"}},
		{0, strings.Replace(with("", ""), "port: 8182", `host: "[::1]"`, 1), []string{"proxy.host must be an IP address or a host name"}},
		{0, strings.Replace(with("", ""), "port: 8182", `listen: ["a:1"], port: 2`, 1), []string{"proxy.listen and proxy.host, proxy.port name different addresses"}},
		{0, strings.Replace(with("", ""), "port: 8182", `trustedProxies: [unix, 10.0.0.0/33]`, 1), []string{"proxy.trustedProxies[1] must be an address or a CIDR range"}},
		{0, with("restartDelayMs: -1", ""), []string{"processes[0].restartDelayMs must be a non-negative number"}},
		{0, with("outputLines: 1e12", ""), []string{"processes[0].outputLines must be at most 100000"}},
		{0, with("memory: {limitBytes: 10, warnBytes: 10, hardLimitBytes: 9}", ""), []string{
			"processes[0].memory.warnBytes must be below processes[0].memory.limitBytes", "processes[0].memory.hardLimitBytes must not be below processes[0].memory.limitBytes"}},
		{0, with("", "  - {id: '', command: ' '}"), []string{"processes[1].id must not be empty", "processes[1].command must not be empty"}},
		{0, with("", "  - {id: a b, command: x}"), []string{`Process id "a b" must consist of letters, digits, dots, underscores and hyphens`}},
		{0, with("", "  - {id: a/b, command: x}"), []string{`Process id "a/b" must consist of letters, digits, dots, underscores and hyphens`}},
		{0, with("", "  - {id: .., command: x}"), []string{`Process id ".." must consist of letters, digits, dots, underscores and hyphens`}},
		{0, with("", "  - {id: a-b, command: x, port: 0}\n  - {id: a_b, command: x, port: 0}"), []string{`Process ids "a-b" and "a_b" both name their port ROLLBRIDGE_A_B_PORT`}},
		{0, with(`env: {"": x, "A=B": y}`, ""), []string{`processes[0].env[""] must be a valid environment variable name`, "processes[0].env.A=B must be a valid environment variable name"}},
		{0, with("envFile: 5", "envFile: {a: b}"), []string{"processes[0].envFile must be a path or a list of paths", "envFile must be a path or a list of paths"}},
		{0, with(`envFile: [a, "", "-", null, "*.env", "a\0"]`, ""), []string{"processes[0].envFile[1] must not be empty", "processes[0].envFile[2] must not be empty",
			"processes[0].envFile[3] must be a path or a list of paths", "processes[0].envFile[4] must name one file: wildcards are not looked for",
			"processes[0].envFile[5] must not contain a NUL character"}},
		{0, with(`env: {A: "\0"}`, ""), []string{"processes[0].env.A must not contain a NUL character"}},
		{0, strings.Replace(with("", ""), "shop", "a/b", 1), []string{"application must be a name without / and control characters, at most 200 bytes"}},
		{0, strings.Replace(with("", ""), "shop", "''", 1), []string{"application must not be empty"}},
		{0, with("", "control: {path: /"+strings.Repeat("x", 107)+"}"), []string{"control.path must be at most 107 bytes long: /" + strings.Repeat("x", 107)}},
		{0, with("", "control: {path: ''}"), []string{"control.path must not be empty"}},
		{0, with("user: app", ""), []string{"processes[0].user must be the daemon's own user, since the daemon is not root"}},
		{0, with("group: www-data", ""), []string{"processes[0].group must be the daemon's own group, since the daemon is not root"}},
		{0, with("", "user: nosuch"), []string{`Unknown user "nosuch"`}},
		{0, with("", "a: 1\na: 2"), []string{"unknown key a", "duplicate key a"}},
		{0, with("", "---\na: 1"), []string{"the file holds more than one YAML document"}},
		{0, with("", "x-a: &a [*a]"), []string{`the value *a contains itself`}},
		{0, "a: b: c", []string{"invalid YAML: mapping values are not allowed in this context"}},
		{0, "a: \x01", []string{"control character U+0001"}},
		{0, "a: \xff", []string{"invalid UTF-8: byte 0xff"}},
	}
	for _, tt := range tests {
		if got := messages(tt.src, testOptions); !slices.Equal(got, tt.want) {
			t.Errorf("check %d\n%s\n got %q\nwant %q", tt.check, tt.src, got, tt.want)
		}
	}
}

func TestEveryProblemHasAFixAndAPlaceInTheFile(t *testing.T) {
	src := "proxy: {port: x, helth: 1}\nprocesses:\n  - {}\n  - {id: 'a b', command: c, env: {A: 1}}\n"
	_, problems := Parse("x.yaml", []byte(src), asRoot())
	if len(problems) < 7 {
		t.Fatalf("only %d problems", len(problems))
	}
	for _, p := range problems {
		checkPlace(t, p, src)
	}
}

func checkPlace(t *testing.T, p Problem, src string) {
	t.Helper()
	lines := lineEnd.Split(strings.TrimPrefix(src, "\ufeff"), -1)
	if p.Fix == "" || p.Message == "" || strings.ContainsAny(p.Message, "\n\r") {
		t.Errorf("%+v", p)
	}
	if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(strings.ToValidUTF8(lines[p.Line-1], "\ufffd")))+1 {
		t.Errorf("outside the file: %+v", p)
	}
}

func TestTenMistakesGiveTenPlacesWithFixes(t *testing.T) {
	src := `aplication: shop
proxy:
  port: 99999
  healthPath: ping
  drainTimeoutMs: soon
processes:
  - id: web
    policy: proxy
    command: ./web
    port: {from: 9, to: 8}
    env:
      WORKERS: 4
    stopSignal: TERM
  - id: worker
    comand: ./worker
    command: ./worker
    replicas: 0
`
	_, problems := Parse("shop/rollbridge.yaml", []byte(src), testOptions)
	var got []string
	for _, p := range problems {
		checkPlace(t, p, src)
		got = append(got, fmt.Sprintf("%d:%d", p.Line, p.Column))
	}
	want := []string{"1:1", "3:9", "4:15", "5:19", "8:13", "10:11", "12:16", "13:17", "15:5", "17:15"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v\n%v", got, want, problems)
	}
}

func TestRootMustSayWhoRunsTheProcesses(t *testing.T) {
	const want = "user is required, since the daemon is root"
	tests := []struct {
		src  string
		want []string
	}{
		{with("", ""), []string{want}},
		{with("", "  - {id: a, command: x}\n"), []string{want}},
		{with("user: app", "  - {id: a, command: x}\n"), []string{want}},
		{with("user: app", ""), nil},
		{with("user: 4711", ""), nil},
		{with("", "user: root"), nil},
		{with("", "user: app\ngroup: www-data"), nil},
		{"{}", []string{"proxy is required", "processes must be an array", "Config must define exactly one proxied process; found 0"}},
	}
	for _, tt := range tests {
		if got := messages(tt.src, asRoot()); !slices.Equal(got, tt.want) {
			t.Errorf("%s\n got %q\nwant %q", tt.src, got, tt.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := parse(t, "proxy: {}\nprocesses: [{id: web, policy: proxied, command: ./web, port: 0}, {id: job, command: ./job}]")
	want := &Config{
		File: "/srv/shop/rollbridge.yaml", Application: "shop",
		Proxy: Proxy{
			Host: "127.0.0.1", Port: 8182, UpstreamHost: "127.0.0.1", Listen: []string{"127.0.0.1:8182"},
			HealthPath: "/ping", HealthTimeout: 30 * time.Second, DrainTimeout: time.Minute, ForceStopTimeout: 10 * time.Second,
			TrustedProxies: loopback, HoldTimeout: 10 * time.Second, MaxHeldRequests: 1000, CloseSpread: 2 * time.Second, UpgradeDrainTimeout: time.Hour,
		},
		Control:          Control{Path: "/run/user/1000/rollbridge/shop/control.sock"},
		ReleaseRetention: Retention{Keep: 10},
		ShutdownTimeout:  90 * time.Second, RestartGrace: 5 * time.Second, ResumeTimeout: time.Minute,
		Processes: []Process{
			defaultProcess("web", "./web", Proxied, &PortRange{}),
			defaultProcess("job", "./job", Companion, nil),
		},
	}
	c.Source = nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func defaultProcess(id, command string, policy Policy, port *PortRange) Process {
	return Process{
		ID: id, Command: command, Policy: policy, DeployStrategy: Persistent, Env: map[string]string{}, Port: port,
		Health:       &Health{Path: "/ping", Timeout: 30 * time.Second, Interval: 250 * time.Millisecond},
		GracefulStop: 10 * time.Second, StopSignal: syscall.SIGTERM,
		Restart: Restart{Delay: time.Second, Max: Unlimited, Factor: 1}, Replicas: 1, OutputLines: 50,
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	opt := asRoot()
	c, problems := Parse("/srv/x/full.yaml", []byte(everyKey), opt)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	mode := fs.FileMode(0o660)
	web := Process{
		ID: "web", Command: "./web", Policy: Proxied, DeployStrategy: Persistent, Dir: "public", Env: map[string]string{"A": "b", "E": ""},
		EnvFiles: []EnvFile{{Path: "w.env"}},
		User:     "me", Group: "33", Port: &PortRange{1, 2}, Health: &Health{"/up", 1500 * time.Microsecond, 2 * time.Millisecond, 3 * time.Millisecond},
		GracefulStop: Indefinite, StopSignal: syscall.SIGINT,
		Lifecycle: Lifecycle{Quiet: "q", Drain: "d", DrainTimeout: 4 * time.Millisecond},
		Restart:   Restart{5 * time.Millisecond, 6, 7 * time.Millisecond, 1.5, 8 * time.Millisecond},
		Memory:    &Memory{Limit: 100, Warn: 50, HardLimit: 200, CheckInterval: 9 * time.Millisecond}, Replicas: 1, OutputLines: 10,
	}
	if !reflect.DeepEqual(c.Processes[0], web) {
		t.Errorf("got  %+v\nwant %+v", c.Processes[0], web)
	}
	job := c.Processes[1]
	if job.Lifecycle.Stop != "s" || !job.NonBlockingDrain || job.Replicas != 3 || job.Health != nil {
		t.Errorf("%+v", job)
	}
	if hub := c.Process("hub"); hub == nil || !hub.IsHandoff() || *hub.Port != (PortRange{7000, 7009}) {
		t.Errorf("%+v", hub)
	}
	wantProxy := Proxy{
		Host: "::", Port: 80, UpstreamHost: "::1", Listen: []string{"[::]:80"}, HealthPath: "/h", HealthTimeout: time.Millisecond,
		DrainTimeout: 2 * time.Millisecond, ForceStopTimeout: 3 * time.Millisecond, HoldTimeout: 4 * time.Millisecond, MaxHeldRequests: 5,
		CloseSpread: 6 * time.Millisecond, UpgradeDrainTimeout: 7 * time.Millisecond, TrustedProxies: c.Proxy.TrustedProxies,
	}
	if !reflect.DeepEqual(c.Proxy, wantProxy) || fmt.Sprint(c.Proxy.TrustedProxies) != "[127.0.0.0/8 ::1/128 10.0.0.0/8 192.0.2.1/32]" {
		t.Errorf("got  %+v\nwant %+v", c.Proxy, wantProxy)
	}
	if want := (Control{"/srv/x/run/c.sock", &mode, "me", "33"}); !c.Control.equal(want) {
		t.Errorf("%+v", c.Control)
	}
	c.Source, c.Proxy, c.Control, c.Processes, c.expected = nil, Proxy{}, Control{}, nil, nil
	want := &Config{File: "/srv/x/full.yaml", Application: "all", User: "app", Group: "root",
		EnvFiles: []EnvFile{{Path: "a.env"}, {Path: "/b.env", Optional: true}}, ReleaseRetention: Retention{1, 2 * time.Millisecond},
		StatePath: "/srv/x/state.json", ShutdownTimeout: time.Millisecond, RestartGrace: 2 * time.Millisecond, ResumeTimeout: 3 * time.Millisecond,
		LegacyTakeover: &LegacyTakeover{[]string{"s"}, []LegacyProcess{{"n", []string{"a"}}, {"legacy process 2", []string{"b"}}}, 4 * time.Millisecond}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

const everyKey = `
application: all
user: app
group: root
envFile: [a.env, -/b.env]
proxy: {host: "::", port: 80, listen: ["[::]:80"], upstreamHost: "::1", healthPath: /h, healthTimeoutMs: 1, drainTimeoutMs: 2, forceStopTimeoutMs: 3,
  trustedProxies: [loopback, unix, 10.1.0.0/8, 192.0.2.1], holdTimeoutMs: 4, maxHeldRequests: 5, closeSpreadMs: 6, upgradeDrainTimeoutMs: 7}
control: {path: run/c.sock, mode: 0660, owner: me, group: 33}
releaseRetention: {keep: 1, maxAgeMs: 2}
statePath: state.json
shutdownTimeoutMs: 1
restartGraceMs: 2
resumeTimeoutMs: 3
legacyTakeover: {screens: [s], processes: [{name: n, includes: [a]}, {includes: [b]}], forceStopTimeoutMs: 4}
processes:
  - {id: web, command: ./web, policy: proxied, deployStrategy: persistent, cwd: public, env: {A: b, E: ""}, envFile: w.env, user: me, group: 33, port: {from: 1, to: 2},
     health: {path: /up, timeoutMs: 1.5, intervalMs: 2, startDelayMs: 3}, gracefulStopMs: indefinite, stopSignal: SIGINT,
     lifecycle: {quietCommand: q, drainCommand: d, drainTimeoutMs: 4}, restartDelayMs: 5, restart: {maxRestarts: 6, windowMs: 7, backoffFactor: 1.5, maxDelayMs: 8},
     memory: {limitBytes: 100, warnBytes: 50, hardLimitBytes: 200, checkIntervalMs: 9}, outputLines: 10}
  - {id: job, command: ./job, lifecycle: {stopCommand: s}, nonBlockingDrain: true, replicas: 3, health: false}
  - {id: hub, command: ./hub, policy: service, deployStrategy: handoff, port: {from: 7000, to: 7009}}
`

// Check 18.
func TestModesAreOctalHoweverTheyAreWritten(t *testing.T) {
	for text, want := range map[string]fs.FileMode{
		"0660": 0o660, "660": 0o660, `"660"`: 0o660, `"0660"`: 0o660, `"0o660"`: 0o660, "0o660": 0o660, "432": 0o660, "0": 0,
	} {
		if c := parse(t, with("", "control: {mode: "+text+"}")); *c.Control.Mode != want {
			t.Errorf("%s: %o", text, *c.Control.Mode)
		}
	}
}

// Checks 15 and 17, and the paths of the standard places.
func TestPathsFollowFromWhereTheFileLies(t *testing.T) {
	const src = "proxy: {host: 0.0.0.0}\nuser: root\nprocesses: [{id: web, policy: proxied, command: ./web, port: 0}]"
	user, root := testOptions, asRoot()
	user.LookupUser = ids(map[string]int{"root": 1000})
	bare := user
	bare.RuntimeDir = ""
	tests := []struct {
		file string
		opt  Options
		app  string
		path string
	}{
		{"/etc/rollbridge/rollbridge.yaml", root, "rollbridge", "/run/rollbridge/rollbridge/control.sock"},
		{"/etc/rollbridge/shop.yaml", root, "shop", "/run/rollbridge/shop/control.sock"},
		{"/etc/rollbridge/shop.yaml", user, "shop", "/run/rollbridge/shop/control.sock"},
		{"/etc/rollbridge/sub/x.yaml", root, "sub", "/tmp/rollbridge-0/sub/control.sock"},
		{"/home/me/.config/rollbridge/shop.yaml", user, "shop", "/run/user/1000/rollbridge/shop/control.sock"},
		{"/srv/shop/x.json", user, "shop", "/run/user/1000/rollbridge/shop/control.sock"},
		{"/srv/shop/x.json", bare, "shop", "/tmp/rollbridge-1000/shop/control.sock"},
	}
	for _, tt := range tests {
		c, problems := Parse(tt.file, []byte(src), tt.opt)
		if len(problems) > 0 {
			t.Fatal(tt.file, problems)
		}
		if c.Application != tt.app || c.Control.Path != tt.path || c.Proxy.UpstreamHost != "127.0.0.1" {
			t.Errorf("%s: %q %q %q", tt.file, c.Application, c.Control.Path, c.Proxy.UpstreamHost)
		}
	}
}

func TestAnchorsAndMergeKeysWork(t *testing.T) {
	c := parse(t, with("", `  - &base {id: a, command: x, env: &env {A: "1", B: "2"}}
  - {<<: *base, id: b}
  - {<<: [{command: y}, *base], id: c, env: {<<: *env, B: "3"}}
x-shared: {free: to use}
`))
	if b := c.Process("b"); b.Command != "x" || b.Env["B"] != "2" {
		t.Errorf("%+v", b)
	}
	if p := c.Process("c"); p.Command != "y" || !reflect.DeepEqual(p.Env, map[string]string{"A": "1", "B": "3"}) {
		t.Errorf("%+v", p)
	}
}

func TestAliasesCannotMultiplyAFileWithoutBound(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-0: &a0 {k: v}\n")
	for i := range 12 {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	if got := messages(b.String(), testOptions); !slices.Equal(got, []string{"aliases make the file too large"}) {
		t.Errorf("%q", got)
	}
}

func TestNullIsNotGiven(t *testing.T) {
	c := parse(t, `application: null
proxy: {host: null, port: ~, trustedProxies: null, listen: null}
control:
processes:
  - {id: web, policy: proxied, command: x, port: 1, env: null, health: null, restart: null, memory: null, lifecycle: null, replicas: null, stopSignal: null, user: null}
legacyTakeover: null
statePath: null
`)
	if c.Application != "shop" || c.Proxy.Port != 8182 || c.Processes[0].Health != nil || c.LegacyTakeover != nil {
		t.Errorf("%+v", c)
	}
}

func TestHealthIsOffOnlyWhenSaidSo(t *testing.T) {
	for text, on := range map[string]bool{"health: false": false, "health: null": false, "health: {}": true, "": true} {
		if c := parse(t, with(text, "")); (c.Processes[0].Health != nil) != on {
			t.Errorf("%q: %+v", text, c.Processes[0].Health)
		}
	}
}

// Check 28.
func TestPortForms(t *testing.T) {
	for text, want := range map[string]PortRange{
		"0": {}, "{}": {}, "{to: 5}": {0, 5}, "{from: 5, to: 0}": {5, 0}, "18000": {18000, 18000}, "{from: 7}": {7, 7}, "1e3": {1000, 1000},
	} {
		if c := parse(t, with("port: "+text, "")); *c.Processes[0].Port != want {
			t.Errorf("%s: %+v", text, *c.Processes[0].Port)
		}
	}
}

func TestJSONWithTabsAndEscapesIsRead(t *testing.T) {
	c := parse(t, "{\n\t\"application\": \"s\\u00e9\",\n\t\"proxy\": {\t\"port\":1},\n\t\"processes\": [\n\t\t{\"id\":\"web\",\"policy\":\"proxied\",\"command\":\"a\\tb\",\"port\":1e3}\n\t]\n}\n")
	if c.Proxy.Port != 1 || c.Processes[0].Command != "a\tb" || c.Processes[0].Port.From != 1000 {
		t.Errorf("%+v", c)
	}
}

func TestReleaseIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"r42": true, "2024-01-02_a.b": true, "": false, "-x": false, ".x": false, "a b": false, "a/b": false, "ä": false, "a\n": false,
		strings.Repeat("a", 200): true, strings.Repeat("a", 201): false,
	} {
		if ValidID(id) != want {
			t.Errorf("%q", id)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"{}", "", everyKey, with("", ""), "a: &a [*a]", "? [a]\n: b", "<<: {a: 1}", "\xff", "a:\r\n\tb", "é: [", "- \u2028x: {", "processes: [{<<: 5}]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, problems := Parse("/srv/x/fuzz.yaml", src, testOptions)
		if (c == nil) != (len(problems) > 0) {
			t.Fatal("either a config or problems")
		}
		for _, p := range problems {
			checkPlace(t, p, string(src))
		}
		_ = problems.WriteText(new(strings.Builder), true)
		if c == nil {
			return
		}
		if changes := c.LiveChanges(c); changes != nil {
			t.Errorf("differs from itself: %v", changes)
		}
	})
}
