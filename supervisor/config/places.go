package config

import (
	"path/filepath"
	"strconv"
)

// Where the directories of the host's instances lie.
const (
	systemRunDir   = "/run/rollbridge"
	systemStateDir = "/var/lib/rollbridge"
)

// Places are the paths of one instance of the daemon. They follow from where
// its configuration lies, and from the application for a configuration outside
// the standard directories; never from who asks.
type Places struct {
	Name    string // of the instance
	State   string // directory of what outlives a boot
	Run     string // directory of what a boot ends
	Control string // the control socket, unless `control.path` moves it
}

// PlacesOf are the places of the instance with that configuration file, for
// the calling process.
func PlacesOf(file, application string) Places {
	return DefaultOptions().Places(absolute(file), application)
}

// StateFile is where the state is kept, unless `statePath` moves it.
func (p Places) StateFile() string { return filepath.Join(p.State, "state.json") }

// ActiveConfig is the copy of the configuration in force.
func (p Places) ActiveConfig() string { return filepath.Join(p.State, "active.yaml") }

// Lock is the file that keeps a second daemon of the instance away.
func (p Places) Lock() string { return filepath.Join(p.State, "lock") }

// IsInstance reports whether the file is the configuration of an instance by
// where it lies, so that its places are known without reading it.
func (o Options) IsInstance(file string) bool { return o.instance(file) != "" }

// Places are the paths that follow from a configuration file, given by its
// absolute path.
func (o Options) Places(file, application string) Places {
	name := application
	if instance := o.instance(file); instance != "" {
		name = instance
	}
	p := Places{Name: name, State: o.stateDir(file, name), Run: o.runDir(file, name)}
	p.Control = filepath.Join(p.Run, "control.sock")
	if o.ofTheSystem(file) && filepath.Dir(file) != systemDir {
		p.Control = filepath.Join(o.ownRunDir(name), "control.sock")
	}
	return p
}

// ofTheSystem reports whether an instance belongs to the host: its configuration
// lies where the host keeps them, or it is run by root from no standard place.
func (o Options) ofTheSystem(file string) bool {
	dir := filepath.Dir(file)
	return dir == systemDir || o.UID == 0 && dir != o.userDir()
}

func (o Options) stateDir(file, name string) string {
	switch {
	case o.ofTheSystem(file):
		return filepath.Join(systemStateDir, name)
	case filepath.IsAbs(o.StateHome):
		return filepath.Join(o.StateHome, "rollbridge", name)
	case filepath.IsAbs(o.Home):
		return filepath.Join(o.Home, ".local", "state", "rollbridge", name)
	}
	return filepath.Join("/var/tmp", "rollbridge-"+strconv.Itoa(o.UID), name)
}

func (o Options) runDir(file, name string) string {
	if o.ofTheSystem(file) {
		return filepath.Join(systemRunDir, name)
	}
	return o.ownRunDir(name)
}

// ownRunDir is the run directory of a user.
func (o Options) ownRunDir(name string) string {
	if filepath.IsAbs(o.RuntimeDir) {
		return filepath.Join(o.RuntimeDir, "rollbridge", name)
	}
	return filepath.Join("/tmp", "rollbridge-"+strconv.Itoa(o.UID), name)
}
