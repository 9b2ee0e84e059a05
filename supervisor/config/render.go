package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Vars are what a rendering depends on besides the configuration.
type Vars struct {
	Release, ReleasePath, Revision string
	Generation, Replica            int
	// Ports has the port of every process that has one, by process id.
	Ports map[string]int
	// LookupEnv is the environment of the placeholders {{env.NAME}}; nil has
	// no variables.
	LookupEnv func(string) (string, bool)
}

var placeholder = regexp.MustCompile(`\{\{[\s\v\p{Z}\x{FEFF}]*([A-Za-z0-9_.-]+)[\s\v\p{Z}\x{FEFF}]*\}\}`)

// Render fills the placeholders of a process. It fails when a placeholder has
// no value, and when the release path is not absolute.
func (c *Config) Render(p *Process, v Vars) (Spec, error) {
	if !filepath.IsAbs(v.ReleasePath) {
		return Spec{}, fmt.Errorf("process %s: release path %q is not absolute", p.ID, v.ReleasePath)
	}
	t := template{c, p, v}
	command, err := t.fill(p.Command)
	if err != nil {
		return Spec{}, fmt.Errorf("process %s: command: %w", p.ID, err)
	}
	dir, err := t.dir()
	if err != nil {
		return Spec{}, fmt.Errorf("process %s: cwd: %w", p.ID, err)
	}
	files, err := t.envFiles()
	if err != nil {
		return Spec{}, fmt.Errorf("process %s: envFile: %w", p.ID, err)
	}
	own, err := t.ownEnv()
	if err != nil {
		return Spec{}, fmt.Errorf("process %s: %w", p.ID, err)
	}
	s := t.spec()
	s.Command, s.Dir, s.EnvFiles, s.Env = command, dir, files, own
	return s, nil
}

// template renders the texts of one process.
type template struct {
	c    *Config
	p    *Process
	vars Vars
}

// spec is what holds no placeholders.
func (t template) spec() Spec {
	c, p, v := t.c, t.p, t.vars
	s := Spec{
		Application: c.Application, Process: p.ID, Instance: p.instance(v.Replica),
		Policy: p.Policy, Strategy: p.DeployStrategy,
		Release: v.Release, Generation: v.Generation, ReleasePath: v.ReleasePath, Revision: v.Revision,
		Replica: v.Replica, Injected: t.injected(),
		Stop:    Stop{Signal: p.StopSignal, Grace: p.GracefulStop, Lifecycle: p.Lifecycle},
		Restart: p.Restart, Memory: p.Memory, OutputLines: p.OutputLines,
	}
	s.Port, _ = t.port()
	s.User, s.Group = c.account(p)
	return s
}

// account is who a process runs as. The group of the whole configuration goes
// with its user: a process with a user of its own gets that user's group.
func (c *Config) account(p *Process) (user, group string) {
	switch {
	case p.User != "":
		return p.User, p.Group
	case p.Group != "":
		return c.User, p.Group
	}
	return c.User, c.Group
}

// instance is the id of a replica; a process without replicas keeps its own.
func (p *Process) instance(replica int) string {
	if p.Replicas <= 1 {
		return p.ID
	}
	return p.ID + "#" + strconv.Itoa(replica)
}

// port is the port of the process itself.
func (t template) port() (int, bool) {
	if t.p.Port == nil {
		return 0, false
	}
	n, ok := t.vars.Ports[t.p.ID]
	return n, ok
}

func (t template) dir() (string, error) {
	dir, err := t.fill(t.p.Dir)
	if err != nil || filepath.IsAbs(dir) {
		return dir, err
	}
	return filepath.Join(t.vars.ReleasePath, dir), nil
}

// envFiles are the files of the whole configuration, which are beside it, then
// those of the process, which are below the release.
func (t template) envFiles() ([]EnvFile, error) {
	common, err := t.filesIn(filepath.Dir(t.c.File), t.c.EnvFiles)
	if err != nil {
		return nil, err
	}
	own, err := t.filesIn(t.vars.ReleasePath, t.p.EnvFiles)
	return append(common, own...), err
}

// filesIn makes the paths absolute; relative ones are below dir.
func (t template) filesIn(dir string, files []EnvFile) (filled []EnvFile, err error) {
	for _, f := range files {
		path, err := t.fill(f.Path)
		if err != nil {
			return nil, err
		}
		f.AsUser = t.namesReleasePath(f.Path)
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
			f.AsUser = f.AsUser || dir == t.vars.ReleasePath
		}
		f.Path = path
		filled = append(filled, f)
	}
	return filled, nil
}

// namesReleasePath reports whether the release path is filled into a text.
func (t template) namesReleasePath(text string) bool {
	for _, found := range placeholder.FindAllStringSubmatch(text, -1) {
		if found[1] == "releasePath" {
			return true
		}
	}
	return false
}

// ownEnv is the environment of the configuration, sorted by name.
func (t template) ownEnv() (env []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(t.p.Env)) {
		text, err := t.fill(t.p.Env[name])
		if err != nil {
			return nil, fmt.Errorf("env.%s: %w", name, err)
		}
		env = append(env, name+"="+text)
	}
	return env, nil
}

// injected are the variables that every process gets.
func (t template) injected() []string {
	env := []string{
		"ROLLBRIDGE_APPLICATION=" + t.c.Application,
		"ROLLBRIDGE_PROCESS_ID=" + t.p.ID,
		"ROLLBRIDGE_RELEASE_ID=" + t.vars.Release,
		"ROLLBRIDGE_RELEASE_PATH=" + t.vars.ReleasePath,
		"ROLLBRIDGE_REVISION=" + t.vars.Revision,
		"ROLLBRIDGE_REPLICA_INDEX=" + strconv.Itoa(t.vars.Replica),
		"ROLLBRIDGE_REPLICA_COUNT=" + strconv.Itoa(t.p.Replicas),
	}
	if n, ok := t.port(); ok {
		env = append(env, "ROLLBRIDGE_PORT="+strconv.Itoa(n))
	}
	for _, id := range slices.Sorted(maps.Keys(t.vars.Ports)) {
		env = append(env, PortVariable(id)+"="+strconv.Itoa(t.vars.Ports[id]))
	}
	return env
}

// fill replaces the placeholders of a text; what replaces them is not looked
// at again.
func (t template) fill(text string) (string, error) {
	var missing string
	filled := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		s, ok := t.lookup(placeholder.FindStringSubmatch(found)[1])
		if !ok && missing == "" {
			missing = found
		}
		return s
	})
	if missing != "" {
		return "", fmt.Errorf("Missing template value for %s", missing) //lint:ignore ST1005 scripts match this text
	}
	return filled, nil
}

func (t template) lookup(key string) (string, bool) {
	block, name, nested := strings.Cut(key, ".")
	switch {
	case !nested:
		return t.scalar(key)
	case block == "ports":
		n, ok := t.vars.Ports[name]
		return strconv.Itoa(n), ok && !strings.Contains(name, ".")
	case block == "env" && t.vars.LookupEnv != nil:
		s, ok := t.vars.LookupEnv(name)
		return s, ok && !strings.Contains(name, ".")
	case block == "proxy":
		return t.proxy(name)
	}
	return "", false
}

func (t template) scalar(key string) (string, bool) {
	switch key {
	case "application":
		return t.c.Application, true
	case "releaseId":
		return t.vars.Release, true
	case "releasePath":
		return t.vars.ReleasePath, true
	case "revision":
		return t.vars.Revision, true
	case "processId":
		return t.p.ID, true
	case "replicaIndex":
		return strconv.Itoa(t.vars.Replica), true
	case "replicaCount":
		return strconv.Itoa(t.p.Replicas), true
	case "port":
		n, ok := t.port()
		return strconv.Itoa(n), ok
	}
	return "", false
}

func (t template) proxy(key string) (string, bool) {
	switch key {
	case "host":
		return t.c.Proxy.Host, true
	case "port":
		return strconv.Itoa(t.c.Proxy.Port), true
	case "upstreamHost":
		return t.c.Proxy.UpstreamHost, true
	}
	return "", false
}
