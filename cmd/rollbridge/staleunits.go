package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

// staleUnits is the problem of an instance whose units systemd has read from an
// older configuration. dir is where the generator wrote what they are: that is
// compared, since nearly all changes of a configuration change nothing there. It
// is none of ours where no generator has been.
func staleUnits(cfg *config.Config, dir string) config.Problems {
	if filepath.Dir(cfg.File) != config.InstanceDir || !generatorRan(dir) {
		return nil
	}
	dropIns, problems := daemonDropIns(cfg)
	if len(problems) > 0 {
		return nil // no reload would bring these in
	}
	units := serviceFor(cfg.File)
	command := ""
	for _, d := range dropIns {
		there, err := os.ReadFile(filepath.Join(dir, d.Path()))
		switch {
		case err == nil && settings(string(there)) == settings(d.Text()):
		case d.Name == units.Service:
			command = cmp.Or(command, "systemctl daemon-reload")
		default:
			command = "systemctl daemon-reload && systemctl restart " + units.Proxy
		}
	}
	if command == "" {
		return nil
	}
	return config.Problems{cfg.ProblemAt(nil, "systemd has not read this configuration since it was changed", "`"+command+"` brings the change in")}
}

// generatorRan reports whether the generator has written anything: the default
// instance has something in any case.
func generatorRan(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, unitgen.BareDropIns(unitgen.DefaultInstance, "")[0].Path()))
	return err == nil
}

// settings are the lines of a drop-in that mean something.
func settings(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// noteStaleUnits tells who has deployed what else there is to do. Who cannot read
// the configuration is not the one to do it.
func (e *env) noteStaleUnits(r *remote) {
	if r.unread != nil {
		return
	}
	for _, p := range staleUnits(r.config, generated) {
		fmt.Fprintf(e.Stderr, "%s %s: %s; %s\n", e.Stderr.dim("note:"), p.File, p.Message, p.Fix)
	}
}
