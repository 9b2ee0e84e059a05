package unitgen

import (
	"path"
	"strings"
	"time"

	"rollbridge/supervisor/config"
)

// DefaultInstance is the instance of the daemon whose units are no instances of a
// template.
const DefaultInstance = "rollbridge"

// DaemonUnits are the names of the units of one instance of the daemon.
type DaemonUnits struct{ Proxy, Control, Service string }

// DaemonUnitsOf names the units of an instance.
func DaemonUnitsOf(instance string) DaemonUnits {
	if instance != DefaultInstance {
		instance = "@" + instance
	} else {
		instance = ""
	}
	return DaemonUnits{
		Proxy:   "rollbridge" + instance + ".socket",
		Control: "rollbridge-control" + instance + ".socket",
		Service: "rollbridge" + instance + ".service",
	}
}

// IsUnitInstance reports whether an instance can have units: its name is the same
// in a path and, unescaped, in the name of a unit.
func IsUnitInstance(name string) bool { return config.ValidID(name) }

// stopMargin is what the service has for its end beyond the daemon's own limit.
const stopMargin = 10 * time.Second

// A DropIn is what a configuration adds to a unit that the package installs.
type DropIn struct {
	Unit
	Notes []string // what else there is to say about it
}

// DaemonDropIns are the drop-ins for the units of the daemon with that
// configuration, whose proxy listens at these addresses. They come from source, a
// file or a directory.
func DaemonDropIns(c *config.Config, source string, addresses []Address, notes ...string) []DropIn {
	all := BareDropIns(instanceOf(c.File), source, notes...)
	all[0].proxySocket(addresses)
	all[1].controlSocket(c.Control)
	all[2].add("TimeoutStopUSec", uint64((c.ShutdownTimeout + stopMargin).Microseconds()))
	return all
}

// BareDropIns leave the units of an instance as they are. With them systemd
// knows that the units depend on a file, or a directory, and says when that has
// changed since it read them.
func BareDropIns(instance, source string, notes ...string) []DropIn {
	units := DaemonUnitsOf(instance)
	var all []DropIn
	for _, name := range []string{units.Proxy, units.Control, units.Service} {
		d := DropIn{Unit{Name: name}, notes}
		d.add("SourcePath", source)
		all = append(all, d)
	}
	return all
}

// instanceOf is the instance with that configuration file.
func instanceOf(file string) string {
	base := path.Base(file)
	return strings.TrimSuffix(base, path.Ext(base))
}

func (d *DropIn) add(name string, value any) { d.Properties.add(name, value) }

func (d *DropIn) proxySocket(addresses []Address) {
	d.add("Listen", listenTexts(addresses))
	if anyOf(addresses, Address.isDualStack) {
		d.add("BindIPv6Only", "both")
	}
	if anyOf(addresses, Address.mayComeLater) {
		d.add("FreeBind", true)
	}
	if anyOf(addresses, Address.isPath) {
		d.add("RemoveOnStop", true)
	}
}

// controlSocket says what is given; the unit has the rest.
func (d *DropIn) controlSocket(c config.Control) {
	d.add("Listen", []string{c.Path})
	if c.Owner != "" {
		d.add("SocketUser", c.Owner)
	}
	if c.Group != "" {
		d.add("SocketGroup", c.Group)
	}
	if c.Mode != nil {
		d.add("SocketMode", uint32(*c.Mode))
	}
}

// controlProblems are values that no line of a unit file holds as they are.
func controlProblems(c *config.Config) (problems config.Problems) {
	for _, v := range []struct{ key, text string }{{"path", c.Control.Path}, {"owner", c.Control.Owner}, {"group", c.Control.Group}} {
		if OneLine(v.text) != v.text {
			problems = append(problems, c.ProblemAt([]string{"control", v.key}, "control."+v.key+" has characters that unit files do not keep",
				"use no control characters, and neither space nor a backslash at an end"))
		}
	}
	return problems
}

// Path is the file of the drop-in, below a directory of units.
func (d DropIn) Path() string { return d.Name + ".d/50-rollbridge.conf" }

// Text is the drop-in as a file.
func (d DropIn) Text() string {
	var b strings.Builder
	b.WriteString("# Written by rollbridge-generator, anew at each systemctl daemon-reload.\n")
	for _, note := range d.Notes {
		b.WriteString(strings.TrimSpace("# "+OneLine(note)) + "\n")
	}
	b.WriteString("\n" + d.Unit.Text())
	return b.String()
}
