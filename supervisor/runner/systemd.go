package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// Systemd runs processes under a service manager: the web process as a child of
// ours in a scope of its own, everything else as services that systemd keeps
// running. All of them go on without a daemon, and a later one takes them back.
type Systemd struct {
	opt   SystemdOptions
	gates gate.Dir
}

// SystemdOptions are what the runner works with; all must be given, but for
// DaemonUnit.
type SystemdOptions struct {
	Bus         *systemd.Bus
	Application string
	Journal     *Journal
	Gates       gate.Dir // where definitions are kept; gone after a reboot
	Host        unitgen.Host
}

// NewSystemd is the runner of one application.
func NewSystemd(opt SystemdOptions) *Systemd { return &Systemd{opt: opt, gates: opt.Gates} }

// Kind is "systemd".
func (s *Systemd) Kind() string { return "systemd" }

// Follow reads the journal for all processes at once.
func (s *Systemd) Follow(tell func(Process, Line)) Follower { return s.opt.Journal.Follow(tell) }

// New prepares a process.
func (s *Systemd) New(spec config.Spec, observe func(Event)) Process {
	def := gate.Definition{
		Version: gate.Version, ID: rand.Text(), Spec: spec, Daemon: os.Environ(),
		Want: gate.Run, Born: time.Now(),
	}
	if spec.Policy == config.Proxied {
		return s.newScoped(def, observe)
	}
	return s.newUnit(def, observe)
}

// Adopt takes a process back by its definition.
func (s *Systemd) Adopt(ctx context.Context, ref Ref, spec config.Spec, observe func(Event)) (Process, error) {
	if ref.ID == "" {
		return nil, ErrGone
	}
	def, err := s.gates.Read(ref.ID)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, ErrGone
	case err != nil:
		return nil, fmt.Errorf("process %s: %w", spec.Instance, err)
	}
	records, err := s.gates.Records(ref.ID, 0)
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", spec.Instance, err)
	}
	def.Spec = mergedSpec(def.Spec, spec)
	if def.Spec.Policy == config.Proxied {
		return s.adoptScoped(ctx, def, records, observe)
	}
	return s.adoptUnit(ctx, def, records, observe)
}

// mergedSpec is the definition for the next start: the caller's, if it has one.
func mergedSpec(kept, wanted config.Spec) config.Spec {
	if wanted.Instance == "" {
		return kept
	}
	return wanted
}

// start makes and starts a unit. What makes it stop in order goes first: it is
// made again if somebody has stopped it.
func (s *Systemd) start(ctx context.Context, u unitgen.Unit) error {
	if s.opt.Host.DaemonUnit != "" {
		order := unitgen.Order(s.opt.Application, s.opt.Host)
		if err := s.opt.Bus.StartTransient(ctx, order.Name, properties(order)); err != nil && !errors.Is(err, systemd.ErrExists) {
			return err
		}
	}
	return s.opt.Bus.StartTransient(ctx, u.Name, properties(u))
}

// properties are a unit's, as the bus takes them.
func properties(u unitgen.Unit) []systemd.Property {
	list := make([]systemd.Property, len(u.Properties))
	for i, p := range u.Properties {
		list[i] = systemd.Property{Name: p.Name, Value: p.Value}
	}
	return list
}

// errTaken is that the name of a unit is somebody else's.
type errTaken struct{ unit string }

func (e errTaken) Error() string {
	return fmt.Sprintf("unit %s exists already and is not ours: look with `systemctl status '%s'`, and stop it or name the process differently", e.unit, e.unit)
}
