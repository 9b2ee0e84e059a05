package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"syscall"
)

// processes reads the list and the rules across it.
func (v value) processes(cfg *Config) {
	var entries []entry
	if v.node == nil || v.node.Kind != sequenceNode {
		v.wrong("must be an array", "list the processes: `processes: [{id: web, policy: proxied, command: …, port: {from: 18000, to: 18099}}]`")
	} else {
		items, _ := v.items("")
		for _, item := range items {
			entries = append(entries, item.process(cfg))
		}
	}
	for _, e := range entries {
		cfg.Processes = append(cfg.Processes, e.Process)
	}
	checkTogether(v, entries)
}

// entry is a process and where it stands.
type entry struct {
	Process
	mapping
}

const processShape = "write a mapping with id, policy and command"

// process reads one entry of `processes`.
func (v value) process(cfg *Config) entry {
	if !v.given() {
		v.wrong("must be an object", processShape)
	}
	m, _ := v.block("processes[]", processShape)
	p := Process{
		ID:             m.get("id").processID(),
		Command:        m.get("command").required("./bin/start"),
		DeployStrategy: Strategy(m.choice("deployStrategy", string(Persistent), string(Handoff))),
		Policy:         Policy(m.choice("policy", string(Companion), string(Proxied), string(Singleton), string(Service))),
		Env:            m.get("env").environment(),
		Port:           m.get("port").portRange(),
		Health:         m.get("health").health(cfg.Proxy),
		GracefulStop:   m.get("gracefulStopMs").grace(cfg.Proxy.ForceStopTimeout),
		StopSignal:     m.get("stopSignal").signal(),
		Lifecycle:      m.get("lifecycle").lifecycle(),

		NonBlockingDrain: m.get("nonBlockingDrain").boolean(false),
		Memory:           m.get("memory").memory(),
		Replicas:         m.get("replicas").integer(1, 1, 1000, "4"),
		OutputLines:      m.get("outputLines").integer(DefaultOutputLines, 1, 1_000_000, "50"),
	}
	if dir := m.get("cwd"); dir.isNull() {
		dir.wrong("is required", "set it to a directory, or remove the key to use the release path")
	} else {
		p.Dir = dir.words("", "'{{releasePath}}'")
	}
	p.User, p.Group = m.account()
	p.Restart = m.get("restart").restart()
	p.Restart.Delay = m.get("restartDelayMs").duration(DefaultRestartDelay)
	return entry{p, m}
}

// choice reads an optional choice; the first one is the default.
func (m mapping) choice(key string, choices ...string) string {
	order := choices
	if key == "policy" {
		order = []string{string(Proxied), string(Companion), string(Singleton), string(Service)}
	}
	chosen, _ := m.get(key).oneOf(choices[0], order...)
	return chosen
}

var goodID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// processID reads an id, which becomes part of unit names and of environment
// variables.
func (v value) processID() string {
	id := v.required("web")
	switch {
	case id == "" || strings.Contains(id, "#"): // told elsewhere
	case !goodID.MatchString(id):
		v.wrong("must consist of letters, digits, dots, underscores and hyphens, 100 at most", v.set("such an id", "web"))
	}
	return id
}

// environment reads `env`.
func (v value) environment() map[string]string {
	m, ok := v.object("write a mapping of strings: `env: {NAME: \"value\"}`")
	if !ok {
		return nil
	}
	env := map[string]string{}
	for _, name := range m.names {
		entry := m.get(name)
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			entry.complain(fmt.Sprintf("%s has the name %q, which cannot be a variable's", v.path, name), "use a name without = and not empty")
		case entry.isNull():
			entry.wrong("is required", "set it to a string, \"\" for an empty one")
		default:
			env[name] = entry.text("")
		}
	}
	return env
}

const portRule = "must be a positive port or valid {from, to} range"

// portRange reads a port or a range of them; nil when there is none.
func (v value) portRange() *PortRange {
	switch {
	case !v.given():
		return nil
	case v.node.Kind == mappingNode:
		m, _ := v.block("processes[].port", "")
		from := m.get("from").portOr(0)
		r := &PortRange{From: from, To: m.get("to").portOr(from)}
		if !r.Ephemeral() && r.From > r.To {
			v.wrong(portRule, "write an ascending range: `port: {from: 18000, to: 18099}`")
		}
		return r
	}
	f, isNumber := v.asNumber()
	switch {
	case !isNumber:
		v.wrong(portRule, "write a number or a range: `port: {from: 18000, to: 18099}`")
	case !isInteger(f) || !inRange(f, 0, 65535):
		v.wrong(portRule, "write a port from 1 to 65535 (0 for any free one), or a range: `port: {from: 18000, to: 18099}`")
	default:
		return &PortRange{From: int(f), To: int(f)}
	}
	return nil
}

// portOr reads an end of a range.
func (v value) portOr(fallback int) int {
	if !v.given() {
		return fallback
	}
	if f, ok := v.asNumber(); ok && isInteger(f) && inRange(f, 0, 65535) {
		return int(f)
	}
	whole := strings.TrimSuffix(v.path, "."+v.key())
	v.complain(whole+" "+portRule, "write ports from 1 to 65535, ascending: `port: {from: 18000, to: 18099}`")
	return fallback
}

// portNumber reads the port that the proxy listens on.
func (v value) portNumber(fallback int) int {
	f, ok := v.number(float64(fallback), "8182")
	if !ok {
		return fallback
	}
	if !isInteger(f) || !inRange(f, 0, 65535) {
		v.wrong("must be a port from 0 to 65535", v.set("a port, 0 for any free one", "8182"))
		return fallback
	}
	return int(f)
}

// health reads `health`; nil when it is off.
func (v value) health(p Proxy) *Health {
	if v.isNull() || v.tag() == "!!bool" && strings.EqualFold(v.node.Value, "false") {
		return nil
	}
	m, _ := v.block("processes[].health", "write a mapping: `health: {path: /ping, timeoutMs: 30000, intervalMs: 250}`, or false")
	return &Health{
		Path:       m.get("path").urlPath(p.HealthPath),
		Timeout:    m.get("timeoutMs").positiveDuration(p.HealthTimeout),
		Interval:   m.get("intervalMs").positiveDuration(DefaultHealthInterval),
		StartDelay: m.get("startDelayMs").duration(0),
	}
}

// urlPath reads a path that is asked over HTTP.
func (v value) urlPath(fallback string) string {
	path := v.text(fallback)
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		v.wrong("must be a path that begins with / and has no spaces", v.set("a path", "/ping"))
		return fallback
	}
	return path
}

// grace reads `gracefulStopMs`.
func (v value) grace(fallback time.Duration) time.Duration {
	text, isText := v.asText()
	switch {
	case isText && text == "indefinite":
		return Indefinite
	case isText:
		v.wrong("must be a number", "set it to milliseconds, for example `gracefulStopMs: 10000`, or to \"indefinite\"")
		return fallback
	}
	return v.duration(fallback)
}

// signal reads `stopSignal`.
func (v value) signal() syscall.Signal {
	name := v.text("SIGTERM")
	sig := unix.SignalNum(name)
	if sig == 0 {
		v.wrong("must be a valid signal name", v.set("a name such as SIGTERM, SIGINT or SIGQUIT", "SIGTERM"))
		return syscall.SIGTERM
	}
	return sig
}

// lifecycle reads the hooks of a stop.
func (v value) lifecycle() Lifecycle {
	m, _ := v.block("processes[].lifecycle", "write a mapping with quietCommand, drainCommand, stopCommand and drainTimeoutMs")
	l := Lifecycle{
		Quiet:        m.get("quietCommand").hook(),
		Drain:        m.get("drainCommand").hook(),
		Stop:         m.get("stopCommand").hook(),
		DrainTimeout: m.get("drainTimeoutMs").duration(0),
	}
	if l.Drain != "" && l.DrainTimeout <= 0 {
		m.get("drainCommand").complain(
			fmt.Sprintf("%s.drainCommand requires a positive %s.drainTimeoutMs", v.path, v.path),
			"set drainTimeoutMs to how long it may take, for example `drainTimeoutMs: 30000`; with 0 the step is skipped")
	}
	return l
}

func (v value) hook() string {
	if v.isNull() {
		v.wrong("is required", "set it to a command, or remove the key")
		return ""
	}
	return v.words("", "./bin/quiet")
}

// restart reads the restart policy but for its delay.
func (v value) restart() Restart {
	m, _ := v.block("processes[].restart", "write a mapping with maxRestarts, windowMs, backoffFactor and maxDelayMs")
	return Restart{
		Max:      m.get("maxRestarts").integer(Unlimited, 0, 1_000_000, "5 (0 for never; leave it out for unlimited)"),
		Window:   m.get("windowMs").duration(0),
		Factor:   m.get("backoffFactor").factor(),
		MaxDelay: m.get("maxDelayMs").duration(0),
	}
}

func (v value) factor() float64 {
	if !v.given() {
		return 1
	}
	f, ok := v.asNumber()
	if !ok || f < 1 || f > 1000 {
		v.wrong("must be a number greater than or equal to 1", v.set("a number from 1 (constant delay) to 1000", "2"))
		return 1
	}
	return f
}

// memory reads memory supervision; nil when it is off.
func (v value) memory() *Memory {
	if !v.given() {
		return nil
	}
	m, ok := v.block("processes[].memory", "write a mapping: `memory: {limitBytes: 536870912}`, or leave it out")
	if !ok {
		return nil
	}
	mem := &Memory{
		Limit:         m.get("limitBytes").bytes(1, "536870912"),
		Warn:          m.get("warnBytes").bytes(0, "402653184"),
		HardLimit:     m.get("hardLimitBytes").bytes(0, "1073741824"),
		CheckInterval: m.get("checkIntervalMs").positiveDuration(DefaultMemoryCheckInterval),
	}
	if warn := m.get("warnBytes"); mem.Limit > 0 && mem.Warn >= mem.Limit {
		warn.wrong("must be below limitBytes", "lower it, or raise limitBytes")
	}
	if hard := m.get("hardLimitBytes"); mem.HardLimit > 0 && mem.HardLimit < mem.Limit {
		hard.wrong("must not be below limitBytes", "raise it above limitBytes, so that a graceful restart comes first")
	}
	return mem
}

// bytes reads a whole number of bytes; one of at least 1 is required.
func (v value) bytes(low int, example string) int64 {
	if !v.given() && low == 0 {
		return 0
	}
	f, ok := v.asNumber()
	if !ok || !isInteger(f) || f < float64(low) || f > 1<<62 {
		kind := integerKind(low)
		v.wrong("must be a "+kind, v.set("a "+kind+" of bytes", example))
		return 0
	}
	return int64(f)
}

// checkTogether applies the rules that need more than one key.
func checkTogether(list value, entries []entry) {
	seen := map[string]bool{}
	variables := map[string]string{}
	for _, e := range entries {
		if e.ID != "" && seen[e.ID] {
			e.get("id").complain("Duplicate process id: "+e.ID, "give each process an id of its own; "+e.ID+" is used twice")
		}
		e.checkVariable(variables, seen[e.ID])
		seen[e.ID] = true
		e.check()
	}
	checkProxied(list, entries)
}

// checkVariable finds ids that would share ROLLBRIDGE_<ID>_PORT.
func (e entry) checkVariable(variables map[string]string, duplicate bool) {
	if e.Port == nil || e.ID == "" || duplicate {
		return
	}
	name := portVariable(e.ID)
	if other, taken := variables[name]; taken {
		e.get("id").complain(fmt.Sprintf("Process ids %q and %q share the variable %s", other, e.ID, name),
			"rename one of them, so that they differ in letters or digits")
		return
	}
	variables[name] = e.ID
}

// check applies the rules across the keys of one process.
func (e entry) check() {
	id := e.ID
	if strings.Contains(id, "#") {
		e.get("id").complain(fmt.Sprintf("Process id %q must not contain \"#\"", id),
			fmt.Sprintf("remove the #, for example %q: it is reserved for replicas, %q", strings.ReplaceAll(id, "#", ""), strings.ReplaceAll(id, "#", "")+"#0"))
	}
	if e.Replicas > 1 && (e.Policy != Companion || e.Port != nil) {
		e.get("replicas").complain(fmt.Sprintf("Process %q can only set replicas > 1 on a companion process without a port", id),
			fmt.Sprintf("it has %d replicas, the policy %s and %s; remove replicas, or make it a companion without port", e.Replicas, e.Policy, portWords(e.Port)))
	}
	if e.NonBlockingDrain && e.Policy != Companion {
		e.get("nonBlockingDrain").complain(fmt.Sprintf("Process %q can only set nonBlockingDrain on a companion process", id),
			fmt.Sprintf("remove it: the policy of %s is %s", id, e.Policy))
	}
	if e.DeployStrategy == Handoff {
		e.checkHandoff()
	}
	if e.Lifecycle.Stop != "" && e.StopSignal != syscall.SIGTERM {
		e.get("stopSignal").complain(fmt.Sprintf("Process %q sets both lifecycle.stopCommand and a custom stopSignal, but stopCommand replaces stopSignal", id),
			"remove one of the two: the signal would never be sent")
	}
}

func portWords(r *PortRange) string {
	if r == nil {
		return "no port"
	}
	return "a port"
}

func (e entry) checkHandoff() {
	strategy := e.get("deployStrategy")
	switch {
	case e.Policy != Service:
		strategy.complain(fmt.Sprintf("Process %q can only set deployStrategy: \"handoff\" on a service process", e.ID),
			fmt.Sprintf("remove it, or set `policy: service`: the policy of %s is %s", e.ID, e.Policy))
	case !e.get("port").given():
		strategy.complain(fmt.Sprintf("Handoff service %q must define a port range", e.ID),
			"give it a range so that two releases can overlap: `port: {from: 19000, to: 19099}`")
	case e.Port != nil && e.Port.From == e.Port.To:
		e.get("port").complain(fmt.Sprintf("Handoff service %q must use a multi-port range", e.ID),
			fmt.Sprintf("widen it so that two releases can overlap: `port: {from: %d, to: %d}`", max(1, e.Port.From), max(1, e.Port.From)+99))
	}
}

// checkProxied makes sure that there is one web process, and that it has a port.
func checkProxied(list value, entries []entry) {
	proxied := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.Policy != Proxied })
	if len(proxied) != 1 {
		list.complain(fmt.Sprintf("Config must define exactly one proxied process; found %d", len(proxied)),
			"set `policy: proxied` on exactly one process, the one that answers HTTP")
	}
	for _, e := range proxied {
		if !e.get("port").given() {
			name := e.ID
			if name == "" {
				name = "(unnamed)"
			}
			e.complain(fmt.Sprintf("Proxied process %s must define a port range", name), "add `port: {from: 18000, to: 18099}`")
		}
	}
}
