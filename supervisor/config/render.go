package config

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Vars is what the placeholders of one release may name, besides what the
// configuration itself says.
type Vars struct {
	Release, ReleasePath, Revision string
	Generation, Replica            int
	Ports                          map[string]int // by process id, of every process that has one
	LookupEnv                      func(string) (string, bool)
}

// placeholder is what the original of this program takes for one; everything
// else in braces stays as it is.
var placeholder = regexp.MustCompile(`\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}`)

// Render makes the definition of a process for one release: no placeholder is
// left, and the directory is absolute.
func (c *Config) Render(p *Process, v Vars) (Spec, error) {
	t := template{config: c, process: p, vars: v}
	spec := Spec{
		Application: c.Application, Process: p.ID, Instance: instance(p, v.Replica), Policy: p.Policy, Strategy: p.DeployStrategy,
		Release: v.Release, Generation: v.Generation, ReleasePath: v.ReleasePath, Revision: v.Revision, Replica: v.Replica,
		Port: t.port(), User: or(p.User, c.User), Group: p.Group,
		Stop:    Stop{Signal: p.StopSignal, Grace: p.GracefulStop, Lifecycle: p.Lifecycle},
		Restart: p.Restart, Memory: p.Memory, OutputLines: p.OutputLines,
	}
	if p.User == "" {
		spec.Group = or(p.Group, c.Group)
	}
	spec.Command = t.render("command", p.Command)
	spec.Dir = t.directory()
	spec.Env = append(t.injected(), t.own()...)
	return spec, t.err
}

// instance is the name of a process or of one of its replicas.
func instance(p *Process, replica int) string {
	if p.Replicas > 1 {
		return p.ID + "#" + strconv.Itoa(replica)
	}
	return p.ID
}

// template renders the texts of one process and keeps the first error.
type template struct {
	config  *Config
	process *Process
	vars    Vars
	err     error
}

func (t *template) port() int {
	if t.process.Port == nil {
		return 0
	}
	return t.vars.Ports[t.process.ID]
}

// render replaces the placeholders of a text. What it puts in is not rendered
// again and not quoted for the shell.
func (t *template) render(field, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(whole string) string {
		key := placeholder.FindStringSubmatch(whole)[1]
		s, ok := t.lookup(key)
		if !ok && t.err == nil {
			t.err = fmt.Errorf("process %s: %s: Missing template value for %s", t.process.ID, field, whole)
		}
		return s
	})
}

// lookup is the value of a placeholder.
func (t *template) lookup(key string) (string, bool) {
	v := t.vars
	switch key {
	case "application":
		return t.config.Application, true
	case "releaseId":
		return v.Release, true
	case "releasePath":
		return v.ReleasePath, true
	case "revision":
		return v.Revision, true
	case "processId":
		return t.process.ID, true
	case "replicaIndex":
		return strconv.Itoa(v.Replica), true
	case "replicaCount":
		return strconv.Itoa(t.replicas()), true
	case "port":
		return strconv.Itoa(t.port()), t.process.Port != nil
	case "proxy.host":
		return t.config.Proxy.Host, true
	case "proxy.port":
		return strconv.Itoa(t.config.Proxy.Port), true
	case "proxy.upstreamHost":
		return t.config.Proxy.UpstreamHost, true
	case "env", "ports", "proxy":
		return "[object Object]", true
	}
	if name, ok := strings.CutPrefix(key, "env."); ok && t.vars.LookupEnv != nil {
		return t.vars.LookupEnv(name)
	}
	if id, ok := strings.CutPrefix(key, "ports."); ok {
		port, known := v.Ports[id]
		return strconv.Itoa(port), known
	}
	return "", false
}

func (t *template) replicas() int { return max(1, t.process.Replicas) }

// directory is where the process runs; a relative one lies in the release.
func (t *template) directory() string {
	dir := t.render("cwd", t.process.Dir)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(t.vars.ReleasePath, dir)
	}
	return filepath.Clean(dir)
}

// injected are the variables that every process gets.
func (t *template) injected() []string {
	env := []string{
		"ROLLBRIDGE_APPLICATION=" + t.config.Application,
		"ROLLBRIDGE_PROCESS_ID=" + t.process.ID,
		"ROLLBRIDGE_RELEASE_ID=" + t.vars.Release,
		"ROLLBRIDGE_RELEASE_PATH=" + t.vars.ReleasePath,
		"ROLLBRIDGE_REVISION=" + t.vars.Revision,
		"ROLLBRIDGE_REPLICA_INDEX=" + strconv.Itoa(t.vars.Replica),
		"ROLLBRIDGE_REPLICA_COUNT=" + strconv.Itoa(t.replicas()),
	}
	if t.process.Port != nil {
		env = append(env, "ROLLBRIDGE_PORT="+strconv.Itoa(t.port()))
	}
	for _, id := range slices.Sorted(maps.Keys(t.vars.Ports)) {
		env = append(env, portVariable(id)+"="+strconv.Itoa(t.vars.Ports[id]))
	}
	return env
}

// own is the process's `env`.
func (t *template) own() []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(t.process.Env)) {
		env = append(env, name+"="+t.render("env."+name, t.process.Env[name]))
	}
	return env
}

var notInVariable = regexp.MustCompile(`[^A-Za-z0-9]+`)

// portVariable is the variable that tells every process the port of one.
func portVariable(id string) string {
	return "ROLLBRIDGE_" + strings.ToUpper(notInVariable.ReplaceAllString(id, "_")) + "_PORT"
}

// Environment is the whole environment of a process: what the daemon has, but
// for what is meant for the daemon alone; then who the user is, if it is
// another than the daemon's; then the definition's own. Later wins.
func Environment(daemon []string, s Spec) []string {
	merged := map[string]string{}
	set := func(entries []string) {
		for _, entry := range entries {
			if name, v, ok := strings.Cut(entry, "="); ok && name != "" {
				merged[name] = v
			}
		}
	}
	set(daemon)
	maps.DeleteFunc(merged, func(name, _ string) bool { return isDaemonOnly(name) })
	set(accountEnv(s.User))
	set(s.Env)
	env := make([]string, 0, len(merged))
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		env = append(env, name+"="+merged[name])
	}
	return env
}

// isDaemonOnly reports whether a variable is systemd's or ours, for the daemon.
func isDaemonOnly(name string) bool {
	switch name {
	case "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "ROLLBRIDGE_RUNNER":
		return true
	}
	for _, prefix := range []string{"LISTEN_", "WATCHDOG_", "ROLLBRIDGE_DAEMON_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// accountEnv says who the user is, when it is not the daemon's own.
func accountEnv(name string) []string {
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil || u.Uid == strconv.Itoa(os.Geteuid()) {
		return nil
	}
	return []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username, "SHELL=/bin/sh"}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
