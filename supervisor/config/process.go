package config

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"
)

// What one process may ask for at most.
const (
	maxOutputLines = 100_000
	maxReplicas    = 1_000
	maxBytes       = 1 << 53
)

// definition is a Process with the place it was read from.
type definition struct {
	Process
	at       mapping
	policyOK bool // else what depends on the policy is not judged
	portOK   bool
}

func (v value) definitions(proxy Proxy) []definition {
	items, ok := v.items(fixProcesses)
	if !ok {
		return nil
	}
	var all []definition
	for _, item := range items {
		if m, ok := item.process(); ok {
			all = append(all, m.definition(proxy))
		}
	}
	return all
}

func (v value) process() (mapping, bool) {
	const fix = "a process is a mapping with id, policy and command, for example `{id: worker, policy: companion, command: ./worker}`"
	if !v.given() {
		v.wrong("must be an object", fix)
		return mapping{}, false
	}
	return v.block("processes[]", fix)
}

func (m mapping) definition(proxy Proxy) definition {
	d := definition{at: m}
	d.ID = m.get("id").required("web")
	d.Command = m.get("command").required("./server")
	policy, policyOK := m.get("policy").oneOf(string(Companion), string(Proxied), string(Companion), string(Singleton), string(Service))
	strategy, strategyOK := m.get("deployStrategy").oneOf(string(Persistent), string(Persistent), string(Handoff))
	d.Policy, d.DeployStrategy, d.policyOK = Policy(policy), Strategy(strategy), policyOK && strategyOK
	d.Dir = m.get("cwd").optionalCommand("/srv/app")
	d.Env = m.get("env").environment()
	d.EnvFiles = m.get("envFile").envFiles()
	d.User, d.Group = m.get("user").user(), m.get("group").group()
	d.Port, d.portOK = m.get("port").portRange()
	d.Health = m.get("health").health(proxy)
	d.GracefulStop = m.get("gracefulStopMs").grace(proxy.ForceStopTimeout)
	d.StopSignal = m.get("stopSignal").signal()
	d.Lifecycle = m.get("lifecycle").lifecycle()
	d.NonBlockingDrain = m.get("nonBlockingDrain").boolean(false)
	d.Restart = m.get("restart").restart(m.get("restartDelayMs").duration(DefaultRestartDelay))
	d.Memory = m.get("memory").memory()
	d.Replicas = m.get("replicas").integer(1, 1, maxReplicas, "4")
	d.OutputLines = m.get("outputLines").integer(DefaultOutputLines, 1, maxOutputLines, strconv.Itoa(DefaultOutputLines))
	return d
}

// optionalCommand reads a string that may be left out but, once the key is
// there, has to say something: null is not enough.
func (v value) optionalCommand(example string) string {
	if !v.present() {
		return ""
	}
	if v.isNull() {
		v.wrong("is required", v.set("a string, or remove the key", example))
		return ""
	}
	return v.words("", example)
}

func (v value) environment() map[string]string {
	m, _ := v.object("set " + v.path + " to a mapping of string values, for example `env: {NODE_ENV: production}`")
	env := map[string]string{}
	for _, name := range m.names {
		item := m.get(name)
		if name == "" || strings.ContainsAny(name, "=\x00") {
			m.r.report(m.fields[name].key, item.path, item.path+" must be a valid environment variable name",
				"rename the variable: its name must not be empty and not contain = or NUL")
			continue
		}
		env[name] = item.setting()
	}
	return env
}

// setting reads the value of an environment variable, which may be empty.
func (v value) setting() string {
	if !v.given() {
		v.wrong("is required", fmt.Sprintf("set %s to a string, or to \"\" for an empty value", v.path))
	}
	return v.text("")
}

// portRange reads a port or a range; ok is false when it is wrong.
func (v value) portRange() (r *PortRange, ok bool) {
	const ranges = "`port: {from: 18000, to: 18099}`"
	if !v.given() {
		return nil, true
	}
	if n, ok := v.asNumber(); ok {
		if !isPort(n) {
			return v.noPort("set " + v.path + " to a port from 1 to 65535 or a range, for example " + ranges + "; 0 takes any free port")
		}
		return &PortRange{int(n), int(n)}, true
	}
	if v.tag() != "" || v.isList() {
		return v.noPort("set " + v.path + " to a number or a range, for example " + ranges)
	}
	m, _ := v.block("processes[].port", "")
	from, fromOK := m.get("from").portNumber(0)
	to, toOK := m.get("to").portNumber(from)
	if !fromOK || !toOK || from > to && to != 0 {
		return v.noPort("set from and to of " + v.path + " to ascending ports from 1 to 65535, for example " + ranges)
	}
	return &PortRange{from, to}, true
}

func (v value) noPort(fix string) (*PortRange, bool) {
	v.wrong("must be a positive port or valid {from, to} range", fix)
	return nil, false
}

func (v value) portNumber(fallback int) (int, bool) {
	if !v.given() {
		return fallback, true
	}
	f, ok := v.asNumber()
	return int(f), ok && isPort(f)
}

// health reads the health check; null and false switch it off.
func (v value) health(proxy Proxy) *Health {
	if v.isNull() || v.tag() == "!!bool" && strings.EqualFold(v.node.Value, "false") {
		return nil
	}
	m, _ := v.block("processes[].health", "set "+v.path+" to a mapping with path, timeoutMs and intervalMs, for example `health: {path: /ping}`, or to false for no health check")
	return &Health{
		Path:       m.get("path").urlPath(proxy.HealthPath),
		Timeout:    m.get("timeoutMs").duration(proxy.HealthTimeout),
		Interval:   m.get("intervalMs").duration(DefaultHealthInterval),
		StartDelay: m.get("startDelayMs").duration(0),
	}
}

func (v value) grace(fallback time.Duration) time.Duration {
	if s, _ := v.asText(); s == "indefinite" {
		return Indefinite
	}
	if f, ok := v.asNumber(); ok && f > millisOf(maxDuration) {
		v.wrong("must be at most "+millis(maxDuration), v.set("a number of milliseconds, or to wait for ever", "indefinite"))
		return fallback
	}
	return v.duration(fallback)
}

func (v value) signal() syscall.Signal {
	if !v.given() {
		return syscall.SIGTERM
	}
	name, _ := v.asText()
	if s := unix.SignalNum(name); s != 0 {
		return s
	}
	example := nearest("SIG"+strings.TrimPrefix(strings.ToUpper(name), "SIG"), []string{"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"}, "SIGTERM")
	v.wrong("must be a valid signal name", v.set("a name such as SIGTERM, SIGINT or SIGQUIT", example))
	return syscall.SIGTERM
}

func (v value) lifecycle() Lifecycle {
	m, _ := v.block("processes[].lifecycle", "set "+v.path+" to a mapping with quietCommand, drainCommand, stopCommand and drainTimeoutMs, for example `lifecycle: {quietCommand: kill -TSTP $ROLLBRIDGE_PID}`")
	drain, timeout := m.get("drainCommand"), m.get("drainTimeoutMs")
	l := Lifecycle{
		Quiet:        m.get("quietCommand").optionalCommand("kill -TSTP $ROLLBRIDGE_PID"),
		Drain:        drain.optionalCommand("./wait-until-idle"),
		Stop:         m.get("stopCommand").optionalCommand("./stop"),
		DrainTimeout: timeout.duration(0),
	}
	if f, number := timeout.asNumber(); l.Drain != "" && l.DrainTimeout <= 0 && (!timeout.given() || number && f == 0) {
		drain.wrong("requires a positive "+timeout.path,
			timeout.set("a positive bound (with 0 the command never runs)", "60000"))
	}
	return l
}

func (v value) restart(delay time.Duration) Restart {
	m, _ := v.block("processes[].restart", "set "+v.path+" to a mapping with maxRestarts, windowMs, backoffFactor and maxDelayMs, for example `restart: {maxRestarts: 5, windowMs: 60000}`")
	return Restart{
		Delay:    delay,
		Max:      m.get("maxRestarts").integer(Unlimited, 0, maxCount, "5 (0 never restarts, leave it out for no limit)"),
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
	if !ok || f < 1 {
		v.wrong("must be a number greater than or equal to 1", v.set("a number of at least 1 (1 keeps the delay, 2 doubles it)", "2"))
		return 1
	}
	return f
}

func (v value) memory() *Memory {
	if !v.given() {
		return nil
	}
	m, ok := v.block("processes[].memory", "set "+v.path+" to a mapping with limitBytes, for example `memory: {limitBytes: 536870912}`, or remove it")
	if !ok {
		return nil
	}
	limit, warn, hard := m.get("limitBytes"), m.get("warnBytes"), m.get("hardLimitBytes")
	if !limit.given() {
		limit.wrong("must be a positive integer", limit.set("a positive number of bytes", "536870912"))
	}
	mem := &Memory{
		Limit:         int64(limit.integer(0, 1, maxBytes, "536870912")),
		Warn:          int64(warn.integer(0, 0, maxBytes, "402653184")),
		HardLimit:     int64(hard.integer(0, 1, maxBytes, "1073741824")),
		CheckInterval: m.get("checkIntervalMs").positiveDuration(DefaultMemoryCheckInterval),
	}
	if mem.Limit > 0 && mem.Warn >= mem.Limit {
		warn.wrong("must be below "+limit.path, warn.set("less than limitBytes", strconv.FormatInt(mem.Limit/4*3, 10)))
	}
	if mem.HardLimit > 0 && mem.HardLimit < mem.Limit {
		hard.wrong("must not be below "+limit.path, hard.set("limitBytes or more", strconv.FormatInt(mem.Limit+mem.Limit/4, 10)))
	}
	return mem
}

func (v value) isList() bool { return v.node != nil && v.node.Kind == yaml.SequenceNode }
