package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extension is that of the configuration of an instance.
var extension = filepath.Ext(fileNames[0])

// An Instance is a daemon's configuration in a standard directory, or a daemon
// that runs although its file is gone.
type Instance struct {
	Name string
	File string // of the configuration
	Own  bool   // of the calling user, else of the host
	Gone bool   // there is no such file, only what a daemon has left or still uses
}

// CanName reports whether an argument may be the name of an instance: it is no
// path and has no extension of a configuration.
func CanName(arg string) bool {
	ext := filepath.Ext(arg)
	return arg != "" && isApplication(arg) && !strings.HasPrefix(arg, ".") &&
		!slices.Contains([]string{".yaml", ".yml", ".json"}, ext) && !slices.Contains(programs, ext)
}

// Named finds the configuration of an instance: the calling user's, unless that
// is root, then the host's. The error, a *LoadError, names the instances that
// there are.
func Named(name string) (string, error) { return DefaultOptions().named(name) }

func (o Options) named(name string) (string, error) {
	var looked []string
	for _, dir := range o.instanceDirs() {
		path := filepath.Join(dir, name+extension)
		if isFile(path) || isHidden(path) || isThere(o.Places(path, name).Control) {
			return path, nil
		}
		looked = append(looked, path)
	}
	fix := "There are none yet: write " + looked[len(looked)-1] + "."
	if names := o.names(); len(names) > 0 {
		fix = "These are there: " + strings.Join(names, ", ") + ". A file is named by its path: --config ./" + name
	}
	return "", &LoadError{Message: fmt.Sprintf("There is no instance %q: looked for %s.", name, strings.Join(looked, " and ")), Fix: fix}
}

// names are those of all instances, each once.
func (o Options) names() []string {
	var names []string
	for _, instance := range o.instances() {
		names = append(names, instance.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Instances lists the instances that the calling user can address: the host's,
// then, unless it is root, the user's own; each sorted by name.
func Instances() []Instance { return DefaultOptions().instances() }

func (o Options) instances() []Instance {
	var all []Instance
	for _, dir := range slices.Backward(o.instanceDirs()) {
		all = append(all, o.instancesIn(dir)...)
	}
	return all
}

// instancesIn finds the instances of one directory, and those that have a control
// socket in the place that belongs to it.
func (o Options) instancesIn(dir string) []Instance {
	known := map[string]Instance{}
	files, _ := filepath.Glob(filepath.Join(globbed(dir), "*"+extension))
	for _, file := range files {
		if name := o.instance(file); isFile(file) && CanName(name) {
			known[name] = Instance{Name: name, File: file, Own: dir != systemDir}
		}
	}
	sample := o.Places(filepath.Join(dir, "*"+extension), "")
	sockets, _ := filepath.Glob(filepath.Join(globbed(filepath.Dir(filepath.Dir(sample.Control))), "*", filepath.Base(sample.Control)))
	for _, socket := range sockets {
		name := filepath.Base(filepath.Dir(socket))
		if _, there := known[name]; !there {
			known[name] = Instance{Name: name, File: filepath.Join(dir, name+extension), Own: dir != systemDir, Gone: true}
		}
	}
	list := make([]Instance, 0, len(known))
	for _, instance := range known {
		list = append(list, instance)
	}
	slices.SortFunc(list, func(a, b Instance) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Namesakes are the problems of an instance whose application others beside it
// have, too: what runs for it is named after the application. Those whose files
// cannot be used do not count.
func (c *Config) Namesakes() Problems { return DefaultOptions().namesakes(c) }

func (o Options) namesakes(c *Config) Problems {
	if !o.IsInstance(c.File) {
		return nil
	}
	var problems Problems
	for _, other := range o.instancesIn(filepath.Dir(c.File)) {
		if other.File == c.File || other.Gone {
			continue
		}
		src, err := readFile(other.File)
		if err != nil {
			continue
		}
		if theirs, wrong := Parse(other.File, src, o); len(wrong) == 0 && theirs.Application == c.Application {
			problems = append(problems, c.ProblemAt([]string{"application"}, fmt.Sprintf("application %q is also that of %s", c.Application, other.File),
				"give each its own `application`, or move one of the files away"))
		}
	}
	return problems
}

// instanceDirs are the standard directories, in the order in which an instance
// is looked for.
func (o Options) instanceDirs() []string {
	if own := o.userDir(); o.UID != 0 && own != "" {
		return []string{own, systemDir}
	}
	return []string{systemDir}
}

// globbed is a path for filepath.Glob that stands for itself.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
