package main

import (
	"fmt"
	"os"
	"path/filepath"

	"rollbridge/unitgen"
)

// unitDir is where the package installs the units.
const unitDir = "/usr/lib/systemd/system"

// write writes drop-ins, and says whether all of them are there.
func (g *generator) write(all []unitgen.DropIn) bool {
	for _, d := range all {
		if err := writeFile(filepath.Join(g.dir, d.Path()), d.Text()); err != nil {
			g.log.warn(fmt.Sprintf("%s: %v", d.Name, err))
			return false
		}
	}
	return true
}

// link has the units of an instance start at boot, as the package's links do for
// those of the default one.
func (g *generator) link(instance string) {
	units := unitgen.DaemonUnitsOf(instance)
	for _, l := range []struct{ target, unit, template string }{
		{"sockets", units.Proxy, "rollbridge@.socket"},
		{"sockets", units.Control, "rollbridge-control@.socket"},
		{"multi-user", units.Service, "rollbridge@.service"},
	} {
		wants := filepath.Join(g.dir, l.target+".target.wants")
		err := os.MkdirAll(wants, 0o755)
		if err == nil {
			err = os.Symlink(filepath.Join(unitDir, l.template), filepath.Join(wants, l.unit))
		}
		if err != nil {
			g.log.warn(fmt.Sprintf("%s is not started at boot: %v", l.unit, err))
		}
	}
}

// writeFile writes a file that is there whole or not at all.
func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	unfinished := path + ".new" // no name that systemd reads
	defer os.Remove(unfinished)
	if err := os.WriteFile(unfinished, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
