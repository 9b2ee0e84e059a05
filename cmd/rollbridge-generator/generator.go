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
	taken  []claim
}

// A claim is what an instance has that no other can have.
type claim struct {
	file, application string
	addresses         []unitgen.Address
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
// configuration too.
func (g *generator) instances() []string {
	entries, err := os.ReadDir(g.path(config.InstanceDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		g.log.warn(fmt.Sprintf("%s cannot be read: %v; hint: it has to be a directory that root can read", config.InstanceDir, reason(err)))
		return nil
	}
	names := []string{unitgen.DefaultInstance}
	for _, e := range entries {
		if name, ok := g.instanceName(e); ok && name != unitgen.DefaultInstance {
			names = append(names, name)
		}
	}
	return names
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
		g.write(unitgen.BareDropIns(name, config.InstanceDir, "There is no "+file+" yet."))
		return
	}
	p := g.plan(name, file)
	if p.write(g) && p.boots && name != unitgen.DefaultInstance {
		g.link(name)
	}
}

// A plan is what becomes of one instance.
type plan struct {
	dropIns []unitgen.DropIn
	boots   bool // it comes up at boot
}

func (p plan) write(g *generator) bool { return g.write(p.dropIns) }

// plan takes the settings from the configuration; from the one in force if that
// cannot be used; else there are none.
func (g *generator) plan(name, file string) plan {
	c, troubles := g.load(file, file)
	if len(troubles) == 0 {
		return g.settle(c)
	}
	g.log.warn(troubles...)
	active := g.options().Places(file, "").ActiveConfig()
	if c, unusable := g.load(active, file); len(unusable) == 0 {
		g.log.warn(file + ": until it is mended its units keep the settings of the last deploy, in " + active)
		return g.settle(c, append([]string{"The configuration cannot be used; these are the settings of the last deploy, in " + active + ".", ""}, troubles...)...)
	}
	without := "Its units are not started at boot."
	if name == unitgen.DefaultInstance {
		without = "The units have their own settings."
	}
	g.log.warn(file + ": there are no settings of an earlier deploy. " + without)
	return plan{dropIns: unitgen.BareDropIns(name, file, append([]string{"The configuration cannot be used. " + without, ""}, troubles...)...)}
}

// load reads the configuration at path as that of an instance, and says what is
// wrong with it.
func (g *generator) load(path, file string) (*config.Config, []string) {
	c, err := g.options().LoadAs(g.path(path), file)
	var problems config.Problems
	var unread *config.LoadError
	switch {
	case errors.As(err, &problems):
		return nil, lines(problems)
	case errors.As(err, &unread):
		return nil, []string{strings.TrimSuffix(unread.Message, ".") + "; hint: it has to be a file of YAML that root can read"}
	case err != nil:
		return nil, []string{fmt.Sprintf("%s: %v", path, err)}
	}
	if _, _, problems := unitgen.DaemonDropIns(c, g.lookup); len(problems) > 0 {
		return nil, lines(problems)
	}
	return c, nil
}

// settle makes the drop-ins of a configuration that can be used. An instance that
// wants what an earlier one has keeps its settings: it may be the one that runs.
// It does not come up at boot.
func (g *generator) settle(c *config.Config, notes ...string) plan {
	_, addresses, _ := unitgen.DaemonDropIns(c, g.lookup)
	mine := claim{c.File, c.Application, addresses}
	conflicts := mine.conflicts(g.taken)
	g.taken = append(g.taken, mine)
	g.log.warn(conflicts...)
	dropIns, _, _ := unitgen.DaemonDropIns(c, g.lookup, append(notes, conflicts...)...)
	return plan{dropIns, len(conflicts) == 0}
}

// conflicts says what earlier instances have already.
func (c claim) conflicts(earlier []claim) (all []string) {
	say := func(what, key, file string) {
		all = append(all, fmt.Sprintf("%s: %s is that of %s, so its units are not started at boot; hint: choose another %s", c.file, what, file, key))
	}
	for _, e := range earlier {
		if c.application == e.application {
			say(fmt.Sprintf("the application %q", c.application), "application", e.file)
		}
		for _, a := range c.addresses {
			if i := slices.IndexFunc(e.addresses, a.Overlaps); i >= 0 {
				say("the address "+a.Text(), "address", e.file)
			}
		}
	}
	return all
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
