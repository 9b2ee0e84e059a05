package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options is what Parse has to know of the world around the file.
type Options struct {
	UID        int    // of the daemon that is to run the configuration
	RuntimeDir string // $XDG_RUNTIME_DIR, "" when there is none
	Home       string // home directory, "" when it is not known
}

// DefaultOptions are those of this process.
func DefaultOptions() Options {
	home, _ := os.UserHomeDir()
	return Options{UID: os.Geteuid(), RuntimeDir: os.Getenv("XDG_RUNTIME_DIR"), Home: home}
}

// Parse reads a configuration; file is its absolute path. It reports every
// problem there is, sorted by position; with a problem there is no Config.
// Accounts are looked up, nothing else outside of the text is read.
func Parse(file string, src []byte, opt Options) (*Config, Problems) {
	r := newReader(file, src, opt)
	cfg := &Config{File: file}
	if root, ok := r.document(src); ok {
		v := value{r: r, node: root, at: root}
		if root == nil {
			v.at = firstLine
		}
		r.config(v, cfg)
	}
	if len(r.problems) > 0 {
		r.problems.sort()
		return nil, r.problems
	}
	return cfg, nil
}

// config reads the top level.
func (r *reader) config(v value, cfg *Config) {
	m := r.top(v)
	cfg.Application = m.application(cfg.File, r.opt)
	cfg.User, cfg.Group = m.account()
	cfg.Proxy = m.get("proxy").proxy()
	cfg.Control = m.get("control").control(cfg)
	cfg.ReleaseRetention = m.get("releaseRetention").retention()
	cfg.StatePath = beside(cfg.File, m.get("statePath").text(""))
	cfg.LegacyTakeover = m.get("legacyTakeover").legacyTakeover(cfg.Proxy.ForceStopTimeout)
	cfg.ShutdownTimeout = m.get("shutdownTimeoutMs").positiveDuration(DefaultShutdownTimeout)
	cfg.RestartGrace = m.get("restartGraceMs").duration(DefaultRestartGrace)
	cfg.ResumeTimeout = m.get("resumeTimeoutMs").positiveDuration(cfg.Proxy.HealthTimeout + DefaultHealthTimeout)
	m.get("processes").processes(cfg)
	m.requireUser(cfg)
}

// top is the mapping of the whole file; one that is something else reads as
// empty, so that what is missing is told too.
func (r *reader) top(v value) mapping {
	if v.given() && v.node.Kind != mappingNode || v.isNull() {
		v.complain("Config must be an object", "write a mapping with the keys application, proxy and processes")
		v.node = nil
	}
	m, _ := v.block("", "")
	return m
}

// application reads the name, which becomes part of unit names and paths.
func (m mapping) application(file string, opt Options) string {
	v := m.get("application")
	name := v.words(defaultApplication(file, opt), "shop")
	switch {
	case strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == '/' || c == 0x7f }) || name == "." || name == "..":
		v.wrong("must be a name without / and control characters", v.set("a name", "shop"))
	case len(name) > 200:
		v.wrong("must be at most 200 bytes long", v.set("a shorter name", "shop"))
	}
	return name
}

// defaultApplication is the name of the file's directory; in the standard
// places, which hold a file per application, that of the file.
func defaultApplication(file string, opt Options) string {
	if dir := filepath.Dir(file); dir == systemDir || dir == userDir(opt) {
		return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	return filepath.Base(filepath.Dir(file))
}

// proxy reads the block `proxy`.
func (v value) proxy() Proxy {
	p := Proxy{Host: DefaultProxyHost, Port: DefaultProxyPort}
	if !v.given() {
		v.wrong("is required", "add a proxy mapping to the config, for example `proxy: {host: 127.0.0.1, port: 8182}`")
	}
	m, _ := v.block("proxy", "write a mapping: `proxy: {host: 127.0.0.1, port: 8182}`")
	p.Host = m.get("host").words(p.Host, "127.0.0.1")
	p.Port = m.get("port").portNumber(p.Port)
	m.listen(&p)
	p.UpstreamHost = m.get("upstreamHost").words(defaultUpstreamHost(p.Host), "127.0.0.1")
	p.HealthPath = m.get("healthPath").urlPath(DefaultHealthPath)
	p.HealthTimeout = m.get("healthTimeoutMs").positiveDuration(DefaultHealthTimeout)
	p.DrainTimeout = m.get("drainTimeoutMs").duration(DefaultDrainTimeout)
	p.ForceStopTimeout = m.get("forceStopTimeoutMs").duration(DefaultForceStopTimeout)
	p.TrustedProxies = m.get("trustedProxies").prefixes()
	p.HoldTimeout = m.get("holdTimeoutMs").duration(DefaultHoldTimeout)
	p.MaxHeldRequests = m.get("maxHeldRequests").integer(DefaultMaxHeldRequests, 0, 1_000_000, "1000")
	p.CloseSpread = m.get("closeSpreadMs").duration(DefaultCloseSpread)
	p.UpgradeDrainTimeout = m.get("upgradeDrainTimeoutMs").duration(DefaultUpgradeDrainTimeout)
	return p
}

// defaultUpstreamHost is where a web process listens when the proxy listens on
// host: a wildcard is no address to connect to.
func defaultUpstreamHost(host string) string {
	if host == "0.0.0.0" || host == "::" {
		return "127.0.0.1"
	}
	return host
}

// retention reads the block `releaseRetention`.
func (v value) retention() Retention {
	m, _ := v.block("releaseRetention", "write a mapping: `releaseRetention: {keep: 10}`")
	return Retention{
		Keep:   m.get("keep").integer(DefaultRetentionKeep, 0, 1_000_000, "10"),
		MaxAge: m.get("maxAgeMs").duration(0),
	}
}

// legacyTakeover reads the block of that name.
func (v value) legacyTakeover(stop time.Duration) *LegacyTakeover {
	if !v.given() {
		return nil
	}
	const shape = "write a mapping with screens, processes or both: `legacyTakeover: {screens: [shop]}`"
	m, ok := v.block("legacyTakeover", shape)
	if !ok {
		return nil
	}
	legacy := &LegacyTakeover{ForceStopTimeout: m.get("forceStopTimeoutMs").duration(stop)}
	legacy.Screens, _ = m.get("screens").strings(false)
	if processes := m.get("processes"); processes.given() {
		items, _ := processes.items("list mappings: `processes: [{includes: [puma, shop]}]`")
		for i, item := range items {
			if p, ok := item.legacyProcess(i); ok {
				legacy.Processes = append(legacy.Processes, p)
			}
		}
	}
	if len(legacy.Screens)+len(legacy.Processes) == 0 {
		v.complain("legacyTakeover must define at least one screen or process matcher", shape)
	}
	return legacy
}

func (v value) legacyProcess(i int) (p LegacyProcess, ok bool) {
	const shape = "write a mapping: `{includes: [puma, shop]}`"
	if !v.given() {
		v.wrong("must be an object", shape)
		return p, false
	}
	m, ok := v.block("legacyTakeover.processes[]", shape)
	if !ok {
		return p, false
	}
	p.Name = m.get("name").text("legacy process " + strconv.Itoa(i+1))
	includes := m.get("includes")
	p.Includes, ok = includes.strings(true)
	if ok && len(p.Includes) == 0 {
		includes.wrong("must contain at least one matcher", "name one or more parts of the command line: `includes: [puma, shop]`")
	}
	return p, len(p.Includes) > 0
}

// strings reads a list of strings that are not empty.
func (v value) strings(required bool) (texts []string, ok bool) {
	if !v.given() && !required {
		return nil, true
	}
	items, ok := v.items("write a list of strings: `" + v.key() + ": [shop]`")
	for _, item := range items {
		text, isText := item.asText()
		if !isText || text == "" {
			item.wrong("must be a non-empty string", "write a text of at least one character")
			continue
		}
		texts = append(texts, text)
	}
	return texts, ok
}
