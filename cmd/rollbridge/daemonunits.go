package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

// generated is where systemd has rollbridge-generator write drop-ins.
const generated = "/run/systemd/generator"

// daemonUnits shows the drop-ins that the generator makes for the units of the
// daemon, in its words.
func (e *env) daemonUnits(o unitsOptions) error {
	if given := cmp.Or(o.path, o.id, o.revision); given != "" {
		return usageFault("--daemon and the options of a release exclude each other", "the daemon's units are the same for all releases")
	}
	path, err := e.configPath(o.config)
	if err != nil {
		return err
	}
	cfg, err := e.loadAsInstance(path)
	if err != nil {
		return err
	}
	dropIns, problems := daemonDropIns(cfg)
	if len(problems) > 0 {
		p := problems[0]
		return complaint(fmt.Sprintf("%s:%d:%d: %s", path, p.Line, p.Column, p.Message), p.Fix)
	}
	if o.json {
		return e.printDropIns(dropIns)
	}
	_, err = io.WriteString(e.Stdout, dropInTexts(dropIns))
	return err
}

// daemonDropIns are what the generator makes of a configuration on this host, or
// why it cannot.
func daemonDropIns(cfg *config.Config) ([]unitgen.DropIn, config.Problems) {
	hosts, _ := os.ReadFile("/etc/hosts")
	addresses, problems := unitgen.Addresses(cfg, unitgen.Hosts(string(hosts)))
	if len(problems) > 0 {
		return nil, problems
	}
	return unitgen.DaemonDropIns(cfg, cfg.File, addresses), nil
}

// loadAsInstance reads a configuration as the generator does: as that of an
// instance of the host, wherever it lies for now.
func (e *env) loadAsInstance(path string) (*config.Config, error) {
	options := config.DefaultOptions()
	dir, base := filepath.Split(e.absolute(path))
	name := strings.TrimSuffix(base, filepath.Ext(base))
	switch {
	case options.IsInstance(filepath.Join(dir, base)) && filepath.Clean(dir) != config.InstanceDir:
		return nil, complaint(path+" is of a user's own daemon, whose units are not made of its configuration", "`systemctl --user cat "+unitgen.DaemonUnitsOf(name).Service+"` shows its unit")
	case !unitgen.IsUnitInstance(name):
		return nil, complaint(fmt.Sprintf("%q cannot be the name of an instance", name),
			"rename the file: begin with a letter or digit, then use letters, digits, dots, underscores and hyphens")
	}
	cfg, err := options.LoadAs(path, config.InstanceFile(name))
	var problems config.Problems
	if errors.As(err, &problems) {
		return nil, invalidConfig(path, problems)
	}
	return cfg, err
}

// printDropIns writes the drop-ins for programs.
func (e *env) printDropIns(dropIns []unitgen.DropIn) error {
	type row struct {
		Name string `json:"name"`
		Path string `json:"path"`
		Text string `json:"text"`
	}
	var rows []row
	for _, d := range dropIns {
		rows = append(rows, row{d.Name, filepath.Join(generated, d.Path()), d.Text()})
	}
	text, err := marshal(rows)
	if err != nil {
		return err
	}
	return e.printJSON(text)
}

// dropInTexts are the drop-ins, each below its path, as systemctl cat shows them.
func dropInTexts(dropIns []unitgen.DropIn) string {
	var texts []string
	for _, d := range dropIns {
		texts = append(texts, "# "+filepath.Join(generated, d.Path())+"\n"+d.Text())
	}
	return strings.Join(texts, "\n")
}
