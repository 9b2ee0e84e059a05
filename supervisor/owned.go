package supervisor

import (
	"errors"
	"fmt"
	"slices"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// The daemon's own processes: persistent services, which outlive releases, and
// singletons, which are replaced after each switch.

// startServices starts the persistent services that are missing, and revives
// those that are down for good.
func (s *Supervisor) startServices(op *operation, next *release, undo *undoList) error {
	for _, spec := range next.services {
		p := s.service(spec.Process)
		switch {
		case p == nil:
			p = s.runner.New(spec, s.observe)
			s.addService(p)
			undo.add(func() { s.dropService(p) })
		case isDown(p):
			old := p.Spec()
			if err := p.Update(spec); err != nil {
				return fmt.Errorf("start services: process %s: %w", spec.Instance, err)
			}
			undo.add(func() { s.stopRevived(p, old) })
		default:
			continue
		}
		op.step("services", "start service %s%s", spec.Instance, onPort(spec.Port))
		if err := op.startProcess(p); err != nil {
			return fmt.Errorf("start services: %w", err)
		}
	}
	return nil
}

// isDown reports whether nothing will start the process again by itself.
func isDown(p runner.Process) bool {
	st, _ := p.Watch()
	return st.State == runner.Stopped || st.GaveUp
}

func (s *Supervisor) service(id string) runner.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return byProcess(s.services, id)
}

func (s *Supervisor) addService(p runner.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = append(s.services, p)
}

// dropService takes back the start of a service that was missing.
func (s *Supervisor) dropService(p runner.Process) {
	s.stopOwned(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = slices.DeleteFunc(s.services, func(q runner.Process) bool { return q == p })
}

// stopRevived takes back the revival of a service that was down.
func (s *Supervisor) stopRevived(p runner.Process, old config.Spec) {
	s.stopOwned(p)
	s.noteUpdate(p, p.Update(old))
}

// stopOwned stops a process of the daemon's own for an undo.
func (s *Supervisor) stopOwned(p runner.Process) {
	if err := p.Stop(s.life); err != nil {
		s.Note("service stop failed", map[string]any{"error": err.Error(), "processId": p.Spec().Instance, "releaseId": p.Spec().Release})
	}
}

// refreshServices gives the persistent services the definitions of the release
// that is active now; they use them at their next start.
func (s *Supervisor) refreshServices(next *release) {
	for _, spec := range next.services {
		p := s.service(spec.Process)
		s.noteUpdate(p, p.Update(spec))
	}
}

// noteUpdate records that a definition could not be kept for the time without
// this daemon; the next start that the daemon makes uses it all the same.
func (s *Supervisor) noteUpdate(p runner.Process, err error) {
	if err != nil {
		spec := p.Spec()
		s.Note("process definition not kept", map[string]any{"error": err.Error(), "processId": spec.Instance, "releaseId": spec.Release})
	}
}

// replaceSingletons replaces one singleton after the other. One that cannot be
// replaced does not stop the rest; all of them are reported.
func (s *Supervisor) replaceSingletons(op *operation, next *release) error {
	var failed []error
	for _, spec := range next.singletons {
		op.step("singletons", "replace singleton %s", spec.Instance)
		if err := s.replaceSingleton(spec); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &afterSwitchError{release: next, cause: errors.Join(failed...)}
}

// replaceSingleton ends the instance that runs, with all its descendants, and
// only then starts the new one: never two.
func (s *Supervisor) replaceSingleton(spec config.Spec) error {
	s.mu.Lock()
	old := byProcess(s.singletons, spec.Process)
	s.mu.Unlock()
	if old != nil {
		if err := old.Stop(s.life); err != nil {
			return fmt.Errorf("singleton %s: the old instance is still there, so no new one was started: %w", spec.Instance, err)
		}
	}
	next := s.runner.New(spec, s.observe)
	if !s.swapSingleton(old, next) {
		return fmt.Errorf("singleton %s: %w", spec.Instance, errShuttingDown)
	}
	if err := next.Start(s.life, runner.Deploy); err != nil {
		return fmt.Errorf("singleton %s: %w", spec.Instance, err)
	}
	return nil
}

// swapSingleton lists next instead of old, unless the daemon is shutting down.
func (s *Supervisor) swapSingleton(old, next runner.Process) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if i := slices.Index(s.singletons, old); old != nil && i >= 0 {
		s.singletons[i] = next
	} else {
		s.singletons = append(s.singletons, next)
	}
	return true
}
