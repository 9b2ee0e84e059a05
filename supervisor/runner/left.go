package runner

import (
	"context"
	"fmt"
	"strings"

	"rollbridge/supervisor/gate"
	"rollbridge/unitgen"
)

// Left lists what earlier daemons left behind: by the definitions they wrote,
// and by the units of the application that none of them names. Definitions of
// which nothing is left are removed.
func (s *Systemd) Left(ctx context.Context) ([]Left, error) {
	ids, err := s.gates.List()
	if err != nil {
		return nil, fmt.Errorf("list what runs: %w", err)
	}
	units, err := s.opt.Bus.List(ctx, unitgen.Pattern(s.opt.Application))
	if err != nil {
		return nil, fmt.Errorf("list what runs: %w", err)
	}
	loaded := map[string]bool{}
	for _, u := range units {
		loaded[u.Name] = true
	}
	var found []Left
	ours := map[string]bool{}
	for _, id := range ids {
		def, err := s.gates.Read(id)
		if err != nil {
			continue // its unit is a stranger
		}
		ours[def.Unit] = true
		if !loaded[def.Unit] && !s.due(def) {
			_ = s.gates.Remove(def.ID)
			continue
		}
		found = append(found, Left{Ref: Ref{ID: def.ID, Unit: def.Unit, BootID: bootID()}, Spec: def.Spec, Unit: def.Unit, Retired: def.Want != gate.Run})
	}
	for name := range loaded {
		if !ours[name] && !strings.HasSuffix(name, ".slice") {
			found = append(found, Left{Unit: name, Stranger: true})
		}
	}
	return found, nil
}

// due reports whether a process without a unit is to be started again, or has
// given up: it is one that the daemon restarts itself, and none was there.
func (s *Systemd) due(def gate.Definition) bool {
	records, err := s.gates.Records(def.ID, 0)
	return err == nil && len(records) > 0 && def.Want == gate.Run
}

// Discard takes a process back and stops it.
func (s *Systemd) Discard(ctx context.Context, left Left) error {
	p, err := s.Adopt(ctx, left.Ref, left.Spec, func(Event) {})
	if err != nil {
		return err
	}
	return p.Stop(ctx)
}
