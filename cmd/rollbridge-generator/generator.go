package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

// A generator writes the drop-ins of all instances of a host.
type generator struct {
	root   string // directory that stands for /
	dir    string // where units go
	log    *log
	lookup unitgen.Lookup
	taken  []settings // of the instances so far
}

// Settings are a configuration and where its proxy listens.
type settings struct {
	*config.Config
	addresses []unitgen.Address
}

// options are those of the daemon. Which users there are is not known yet.
func (g *generator) options() config.Options {
	known := func(string) (int, error) { return 0, nil }
	return config.Options{LookupUser: known, LookupGroup: known}
}

func (g *generator) run() {
	hosts, _ := os.ReadFile(g.path("/etc/hosts"))
	g.lookup = unitgen.Hosts(string(hosts))
	for _, name := range g.instances() {
		g.instance(name)
	}
}

func (g *generator) path(path string) string { return filepath.Join(g.root, path) }

// instances are the names of the instances, the default one first: where two want
// the same, the first has it. The default one's units are there without a
// configuration too; those that were deployed, and have none any more, come last.
func (g *generator) instances() []string {
	entries, err := os.ReadDir(g.path(config.InstanceDir))
	var names []string
	if err == nil {
		names = append(names, unitgen.DefaultInstance)
	} else if !errors.Is(err, fs.ErrNotExist) {
		g.log.warn(fmt.Sprintf("%s cannot be read: %v; hint: it has to be a directory that root can read", config.InstanceDir, reason(err)))
	}
	for _, e := range entries {
		if name, ok := g.instanceName(e); ok && name != unitgen.DefaultInstance {
			names = append(names, name)
		}
	}
	return append(names, g.remnants(names)...)
}

// remnants are the instances that were deployed and are not among these.
func (g *generator) remnants(names []string) (more []string) {
	deployed, _ := filepath.Glob(g.path(g.active(config.InstanceFile("*"))))
	for _, path := range deployed {
		if name := filepath.Base(filepath.Dir(path)); unitgen.IsUnitInstance(name) && !slices.Contains(names, name) {
			more = append(more, name)
		}
	}
	return more
}

// instanceName is the instance whose configuration an entry is, if it is one.
func (g *generator) instanceName(e fs.DirEntry) (string, bool) {
	base, extension := e.Name(), filepath.Ext(e.Name())
	name := strings.TrimSuffix(base, extension)
	switch {
	case strings.HasPrefix(base, ".") || e.IsDir():
		return "", false
	case extension == ".yml":
		g.log.warn(fmt.Sprintf("%s is of no instance; hint: rename it to %s", filepath.Join(config.InstanceDir, base), config.InstanceFile(name)))
		return "", false
	case extension != filepath.Ext(config.InstanceFile(name)):
		return "", false
	case !unitgen.IsUnitInstance(name):
		g.log.warn(fmt.Sprintf("%s: %q cannot be the name of an instance; hint: rename the file: begin with a letter or digit, then use letters, digits, dots, underscores and hyphens",
			config.InstanceFile(name), name))
		return "", false
	}
	return name, true
}

// instance writes what there is for one instance. No file is worth more than its
// own instance, whatever is wrong with it.
func (g *generator) instance(name string) {
	defer func() {
		if defect := recover(); defect != nil {
			g.log.warn(fmt.Sprintf("%s: defect in rollbridge-generator: %v", config.InstanceFile(name), defect))
		}
	}()
	file := config.InstanceFile(name)
	if _, err := os.Lstat(g.path(file)); errors.Is(err, fs.ErrNotExist) {
		g.write(g.remnant(name, file))
		return
	}
	p := g.plan(name, file)
	if g.write(p.dropIns) && p.boots && name != unitgen.DefaultInstance {
		g.link(name)
	}
}

// remnant makes the drop-ins of an instance without a configuration. Its daemon may
// run: systemd would drop the sockets of a unit that no longer lists them.
func (g *generator) remnant(name, file string) []unitgen.DropIn {
	active := g.active(file)
	s, unusable := g.load(active, file)
	if len(unusable) > 0 {
		return unitgen.BareDropIns(name, config.InstanceDir, "There is no "+file+" yet.")
	}
	return unitgen.DaemonDropIns(s.Config, config.InstanceDir, s.addresses, "There is no "+file+"; these are the settings of the last deploy, in "+active+".")
}

// active is the copy of the configuration in force.
func (g *generator) active(file string) string { return g.options().Places(file, "").ActiveConfig() }

// A plan is what becomes of one instance.
type plan struct {
	dropIns []unitgen.DropIn
	boots   bool // it comes up at boot
}

// plan takes the settings from the configuration; from the one in force if that
// cannot be used; else there are none.
func (g *generator) plan(name, file string) plan {
	s, troubles := g.load(file, file)
	if len(troubles) == 0 {
		return g.settle(s)
	}
	g.log.warn(troubles...)
	active := g.active(file)
	if s, unusable := g.load(active, file); len(unusable) == 0 {
		g.log.warn(file + ": until it is mended its units keep the settings of the last deploy, in " + active)
		return g.settle(s, append([]string{"The configuration cannot be used; these are the settings of the last deploy, in " + active + ".", ""}, troubles...)...)
	}
	without := "Its units are not started at boot."
	if name == unitgen.DefaultInstance {
		without = "The units have their own settings."
	}
	g.log.warn(file + ": there are no settings of an earlier deploy. " + without)
	return plan{dropIns: unitgen.BareDropIns(name, file, append([]string{"The configuration cannot be used. " + without, ""}, troubles...)...)}
}

// load reads the settings in the file at path as those of an instance, or says
// what is wrong with them.
func (g *generator) load(path, file string) (s settings, troubles []string) {
	c, err := g.options().LoadAs(g.path(path), file)
	var problems config.Problems
	var unread *config.LoadError
	switch {
	case errors.As(err, &problems):
		return s, lines(problems)
	case errors.As(err, &unread):
		return s, []string{strings.TrimSuffix(unread.Message, ".") + "; hint: it has to be a file of YAML that root can read"}
	case err != nil:
		return s, []string{fmt.Sprintf("%s: %v", path, err)}
	}
	addresses, problems := unitgen.Addresses(c, g.lookup)
	return settings{c, addresses}, lines(problems)
}

// settle makes the drop-ins of settings that can be used. An instance that wants
// what an earlier one has keeps its settings: it may be the one that runs. It does
// not come up at boot.
func (g *generator) settle(s settings, notes ...string) plan {
	conflicts := s.conflicts(g.taken)
	g.taken = append(g.taken, s)
	g.log.warn(conflicts...)
	return plan{unitgen.DaemonDropIns(s.Config, s.File, s.addresses, append(notes, conflicts...)...), len(conflicts) == 0}
}

// conflicts says what earlier instances have already.
func (s settings) conflicts(earlier []settings) (all []string) {
	say := func(what, key, file string) {
		all = append(all, fmt.Sprintf("%s: %s is that of %s, so its units are not started at boot; hint: choose another %s", s.File, what, file, key))
	}
	for _, e := range earlier {
		if s.Application == e.Application {
			say(fmt.Sprintf("the application %q", s.Application), "application", e.File)
		}
		theirs := e.sockets()
		for _, a := range s.sockets() {
			if slices.ContainsFunc(theirs, a.Overlaps) {
				say("the address "+a.Text(), "address", e.File)
			}
		}
	}
	return all
}

// sockets are all addresses, the control socket's too.
func (s settings) sockets() []unitgen.Address {
	return append(slices.Clone(s.addresses), unitgen.Address{Path: s.Control.Path})
}

// lines are the problems of a file, a line each; not all of a hopeless one.
func lines(problems config.Problems) (all []string) {
	const most = 8
	for i, p := range problems {
		if i == most {
			return append(all, fmt.Sprintf("%s: %d further problems; hint: rollbridge validate --config %s", p.File, len(problems)-most, p.File))
		}
		all = append(all, fmt.Sprintf("%s:%d:%d: %s; hint: %s", p.File, p.Line, p.Column, p.Message, p.Fix))
	}
	return all
}

// reason is an error without the path, which is said before it.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if err == nil {
		return ""
	}
	return err.Error()
}
