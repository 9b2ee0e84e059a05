package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

func unitsCommand() *command {
	var o unitsOptions
	return &command{
		name:     "units",
		synopsis: "[options]",
		short:    "Show the systemd units of a release, or of the daemon",
		long: `Prints what systemd runs for a release, as unit files: the services that it
keeps running, and the scope around the web process, each with its name and its
command above it. Examples stand for what a deploy decides. Asks no daemon and
changes nothing.

With --daemon it prints what systemd makes of the configuration for the units of
the daemon itself, as drop-ins: where its sockets listen, and how long it may
take to stop. A configuration that lies elsewhere is read as if it lay in
/etc/rollbridge.`,
		example: "rollbridge units --release-path /srv/shop/releases/42",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&o.path, "release-path", "", "<path> directory of the release (default: an example)")
			f.StringVar(&o.id, "release-id", "", "<id> id of the release (default: the revision, else an example)")
			f.StringVar(&o.revision, "revision", "", "<text> revision of the release (default: the release id)")
			f.BoolVar(&o.daemon, "daemon", false, "show the units of the daemon instead")
			f.BoolVar(&o.json, "json", false, "print JSON")
			configFlag(f, &o.config)
		},
		run: func(_ context.Context, e *env, _ []string) error {
			if o.daemon {
				return e.daemonUnits(o)
			}
			return e.units(o)
		},
	}
}

type unitsOptions struct {
	config, path, id, revision string
	daemon, json               bool
}

// A plannedUnit is a unit that would run, with the process it is for.
type plannedUnit struct {
	spec config.Spec
	unit unitgen.Unit
}

func (e *env) units(o unitsOptions) error {
	for _, id := range []struct{ option, value string }{{"release-id", o.id}, {"revision", o.revision}} {
		if id.value != "" && !config.ValidID(id.value) {
			return usageFault(fmt.Sprintf("--%s: %q is not a safe identifier", id.option, id.value),
				"begin with a letter or digit, then use letters, digits, dots, underscores and hyphens, 200 at most")
		}
	}
	cfg, err := e.load(o.config)
	if err != nil {
		return err
	}
	host, err := unitHost(cfg)
	if err != nil {
		return err
	}
	vars := e.exampleVars(cfg, o)
	planned, err := planUnits(cfg, vars, host)
	if err != nil {
		return err
	}
	if o.json {
		return e.printUnits(planned)
	}
	_, err = io.WriteString(e.Stdout, o.heading(cfg.Application, vars)+unitTexts(planned))
	return err
}

// unitHost is the host that runs the daemon: this one, with the units that the
// package installs.
func unitHost(cfg *config.Config) (unitgen.Host, error) {
	program, err := gateProgram()
	unit := hostUnits(cfg.File).Service
	return unitgen.Host{
		Version:    unitgen.Oldest,
		Program:    program,
		Gates:      gatesDir(cfg),
		DaemonUnit: unit,
		User:       unit == "" && os.Geteuid() != 0,
	}, err
}

// exampleVars are what a deploy would decide, as far as it was not given.
// Variables of the environment stay the placeholders they are.
func (e *env) exampleVars(cfg *config.Config, o unitsOptions) config.Vars {
	v := config.Vars{
		Release:    cmp.Or(o.id, o.revision, "RELEASE"),
		Generation: 1,
		Ports:      map[string]int{},
		LookupEnv:  func(name string) (string, bool) { return "{{env." + name + "}}", true },
	}
	v.Revision = cmp.Or(o.revision, v.Release)
	v.ReleasePath = "/path/to/" + v.Release
	if o.path != "" {
		v.ReleasePath = e.absolute(o.path)
	}
	for _, p := range cfg.Processes {
		if p.Port != nil {
			v.Ports[p.ID] = p.Port.From
		}
	}
	return v
}

// planUnits are the units of a release, in the order of the configuration.
func planUnits(cfg *config.Config, vars config.Vars, host unitgen.Host) ([]plannedUnit, error) {
	var all []plannedUnit
	for i := range cfg.Processes {
		p := &cfg.Processes[i]
		for vars.Replica = range max(1, p.Replicas) {
			spec, err := cfg.Render(p, vars)
			if err != nil {
				return nil, failure(err, "use one of the placeholders that docs/config.md lists")
			}
			all = append(all, plannedUnit{spec, unitOf(spec, host)})
		}
	}
	return all, nil
}

func unitOf(spec config.Spec, host unitgen.Host) unitgen.Unit {
	if spec.Policy == config.Proxied {
		return unitgen.Scope(spec, 1, 0, host)
	}
	return unitgen.Service(spec, "ID", host)
}

// printUnits writes the units as their properties on the bus.
func (e *env) printUnits(planned []plannedUnit) error {
	type row struct {
		Name       string             `json:"name"`
		Process    string             `json:"process"`
		Policy     config.Policy      `json:"policy"`
		Properties unitgen.Properties `json:"properties"`
	}
	var rows []row
	for _, u := range planned {
		rows = append(rows, row{u.unit.Name, u.spec.Instance, u.spec.Policy, u.unit.Properties})
	}
	text, err := marshal(rows)
	if err != nil {
		return err
	}
	return e.printJSON(text)
}

// heading says what is shown, and what of it are examples.
func (o unitsOptions) heading(application string, v config.Vars) string {
	var b strings.Builder
	b.WriteString("# What systemd runs for a release of " + application + ". In place of what a deploy decides:\n")
	example := func(text, meaning string) { fmt.Fprintf(&b, "#   %-17s %s\n", text, meaning) }
	if o.id == "" && o.revision == "" {
		example(v.Release, "the release id: --release-id")
	}
	if o.path == "" {
		example(v.ReleasePath, "its directory: --release-path")
	}
	if len(v.Ports) > 0 {
		example("ports", "the first of each range, 0 for any free one")
	}
	example("ID", "the definition of a process, which has its command")
	return b.String()
}

// unitTexts are the units as unit files.
func unitTexts(planned []plannedUnit) string {
	var b strings.Builder
	for _, u := range planned {
		b.WriteString("\n# " + u.unit.Name + "\n" + u.comment() + u.unit.Text())
	}
	return b.String()
}

// comment tells what the unit cannot.
func (u plannedUnit) comment() string {
	text := "in " + u.spec.Dir + ": " + strings.TrimRight(u.spec.Command, "\n")
	if u.spec.Policy == config.Proxied {
		text += "\nstarted by the daemon, which makes a new scope, with the next number, for each start"
	}
	return "# " + strings.ReplaceAll(text, "\n", "\n# ") + "\n"
}
