package config

import "path/filepath"

// InstanceDir holds the configurations of the host's instances.
const InstanceDir = systemDir

// InstanceFile is the configuration file of an instance of the host.
func InstanceFile(instance string) string {
	return filepath.Join(InstanceDir, instance+extension)
}

// LoadAs reads the configuration at path as if it were the file as, whose place
// decides about the paths in it. The error is Problems, of that file, when the
// content is bad, else a *LoadError.
func (o Options) LoadAs(path, as string) (*Config, error) {
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c, problems := Parse(as, src, o)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// ProblemAt is a problem of a configuration that only its use shows: it points at
// a key, or where the key would stand.
func (c *Config) ProblemAt(key []string, message, fix string) Problem {
	r := newReader(c.File, c.Source, Options{})
	root, ok := r.document(c.Source)
	if !ok {
		return Problem{File: c.File, Line: 1, Column: 1, Message: message, Fix: fix}
	}
	v := r.top(root).value
	for _, name := range key {
		m, _ := v.object("")
		v = m.get(name)
	}
	r.problems = nil
	r.report(v.at, v.path, message, fix)
	return r.problems[0]
}
