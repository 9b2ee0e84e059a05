package config

import (
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"
)

// resumeMargin is what resuming may take beyond the health check.
const resumeMargin = 30 * time.Second

// maxCount bounds counts that cost memory only as they are used.
const maxCount = 1_000_000

// Fixes for the blocks, and for lists that have to be there.
const (
	fixRoot      = "begin the file with the keys application, proxy and processes"
	fixProxy     = "add a proxy mapping to the config, for example `proxy: {port: 8182}`"
	fixControl   = "set control to a mapping with path, mode, owner and group, for example `control: {mode: \"0660\"}`"
	fixProcesses = "set processes to a list of process definitions, for example `processes: [{id: web, policy: proxied, command: ./server, port: {from: 18000, to: 18099}}]`"
	fixRetention = "set releaseRetention to a mapping with keep and maxAgeMs, for example `releaseRetention: {keep: 10}`"
)

// Parse reads a configuration, YAML or JSON, and finds every problem at once.
// When there is one, the Config is nil. A relative file is below the working
// directory.
func Parse(file string, src []byte, opt Options) (*Config, Problems) {
	r := newReader(file, src, opt.forFile(absolute(file)))
	var c *Config
	if root, ok := r.document(src); ok {
		c = r.config(root)
		c.Source = slices.Clone(src)
	}
	if len(r.problems) > 0 {
		r.problems.sort()
		return nil, r.problems
	}
	return c, nil
}

// config reads the whole file; what is wrong or missing reads as its default,
// so that everything else is looked at too.
func (r *reader) config(root *yaml.Node) *Config {
	top := r.top(root)
	c := &Config{File: absolute(r.file)}
	c.Application = top.application(c.File)
	c.User, c.Group = top.get("user").user(), top.get("group").group()
	c.EnvFiles = top.get("envFile").envFiles()
	c.Proxy = top.get("proxy").proxy()
	c.Control = top.get("control").control(c)
	c.StatePath = besides(c.File, top.get("statePath").text(""))
	c.ReleaseRetention = top.get("releaseRetention").retention()
	c.LegacyTakeover = top.get("legacyTakeover").legacyTakeover(c.Proxy)
	c.ShutdownTimeout = top.get("shutdownTimeoutMs").duration(DefaultShutdownTimeout)
	c.RestartGrace = top.get("restartGraceMs").duration(DefaultRestartGrace)

	definitions := top.get("processes").definitions(c.Proxy)
	for _, d := range definitions {
		c.Processes = append(c.Processes, d.Process)
	}
	c.ResumeTimeout = top.get("resumeTimeoutMs").duration(c.healthTimeout() + resumeMargin)
	checkRules(top, definitions)
	c.expected = r.expected
	return c
}

// top opens the file's object. An empty file is an object without keys.
func (r *reader) top(root *yaml.Node) mapping {
	if root == nil || root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" && root.Value == "" {
		root = &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	}
	v := value{r: r, node: root, at: root}
	if root.Kind == yaml.MappingNode {
		m, _ := v.block("", fixRoot)
		return m
	}
	v.complain("Config must be an object", fixRoot)
	return mapping{value: v, fields: map[string]field{}}
}

// healthTimeout is how long the web process may take to become healthy.
func (c *Config) healthTimeout() time.Duration {
	for _, p := range c.Processes {
		if p.Policy == Proxied && p.Health != nil {
			return p.Health.Timeout
		}
	}
	return c.Proxy.HealthTimeout
}

// besides makes a path absolute that is relative to the configuration file.
func besides(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// absolute makes a path absolute; when even the working directory is unknown,
// it stays as it is.
func absolute(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}

func (v value) retention() Retention {
	m, _ := v.block("releaseRetention", fixRetention)
	return Retention{
		Keep:   m.get("keep").integer(DefaultRetentionKeep, 0, maxCount, strconv.Itoa(DefaultRetentionKeep)),
		MaxAge: m.get("maxAgeMs").duration(0),
	}
}
