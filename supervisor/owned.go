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
			s.addService(next, p)
			undo.add(func() { s.dropService(p) })
		case isDown(p):
			old := p.Spec()
			if err := p.Update(spec); err != nil {
				return fmt.Errorf("start services: process %s: %w", spec.Instance, err)
			}
			s.noteStartedService(next, spec.Process)
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

// addService lists a service that the deploy of next brings up.
func (s *Supervisor) addService(next *release, p runner.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = append(s.services, p)
	next.startedServices = append(next.startedServices, p.Spec().Process)
	s.state.touch()
}

// noteStartedService notes that a service runs only because of the deploy.
func (s *Supervisor) noteStartedService(next *release, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next.startedServices = append(next.startedServices, id)
	s.state.touch()
}

// dropService takes back the start of a service that was missing.
func (s *Supervisor) dropService(p runner.Process) {
	s.stopOwned(p)
	s.forgetOwned(p)
}

// forgetOwned takes a process that was stopped off its list.
func (s *Supervisor) forgetOwned(p runner.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isIt := func(q runner.Process) bool { return q == p }
	s.services, s.singletons = slices.DeleteFunc(s.services, isIt), slices.DeleteFunc(s.singletons, isIt)
	s.state.touch()
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
	return errors.Join(failed...)
}

// stopUnwanted ends the daemon's own processes that the configuration has no
// more, which it can lose while no daemon runs.
func (s *Supervisor) stopUnwanted(op *operation, next *release) error {
	var failed []error
	for _, p := range append(s.serviceList(), s.singletonList()...) {
		spec := p.Spec()
		if next.wants(spec) {
			continue
		}
		op.step("services", "stop %s, which is not configured any more", spec.Instance)
		if err := p.Stop(s.life); err != nil {
			failed = append(failed, fmt.Errorf("stop %s: %w", spec.Instance, err))
			continue
		}
		s.forgetOwned(p)
	}
	return errors.Join(failed...)
}

// wants reports whether the release asks for a process of the daemon's own.
func (r *release) wants(spec config.Spec) bool {
	list := r.services
	if spec.Policy == config.Singleton {
		list = r.singletons
	}
	return slices.ContainsFunc(list, func(w config.Spec) bool { return w.Process == spec.Process })
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
	defer s.state.touch()
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
	s.state.touch()
	return true
}

func (s *Supervisor) serviceList() []runner.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.services)
}

func (s *Supervisor) singletonList() []runner.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.singletons)
}
