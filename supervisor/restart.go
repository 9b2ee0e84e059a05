package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// Restart restarts processes other than the web process, one after the other:
// services and singletons, and companions and handoff services of the active
// release. One that cannot be restarted does not stop the rest.
func (s *Supervisor) Restart(ctx context.Context, args RestartArgs, progress func(any)) (RestartResult, error) {
	op, err := s.begin(ctx, "restart", "", args.Wait, progress)
	if err != nil {
		return RestartResult{}, err
	}
	defer op.end()
	if err := op.commit(); err != nil {
		return RestartResult{}, err
	}
	targets, err := s.restartTargets(args)
	if err != nil {
		return RestartResult{}, err
	}
	restarted, failed := []string{}, []error{}
	for _, p := range targets {
		if err := s.restartProcess(op, p); err != nil {
			failed = append(failed, &processError{process: p, cause: err})
			continue
		}
		restarted = append(restarted, p.Spec().Instance)
	}
	if len(failed) > 0 {
		return RestartResult{}, restartError(restarted, failed)
	}
	return RestartResult{Restarted: restarted}, nil
}

func (s *Supervisor) restartProcess(op *operation, p runner.Process) error {
	if s.isClosing() {
		return errShuttingDown
	}
	spec := p.Spec()
	op.step("restart", "restart %s", spec.Instance)
	op.note("process restart requested", map[string]any{"processId": spec.Instance})
	return p.Restart(s.life, runner.Manual)
}

// restartError reports all failures, and what was restarted all the same.
func restartError(restarted []string, failed []error) error {
	err := errors.Join(failed...)
	if len(restarted) == 0 {
		return fmt.Errorf("restart: %w", err)
	}
	return fmt.Errorf("restart (restarted: %s): %w", strings.Join(restarted, ", "), err)
}

// restartTargets are the processes that match both selectors, in the order of
// the configuration.
func (s *Supervisor) restartTargets(args RestartArgs) ([]runner.Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var targets []runner.Process
	for i := range s.config.Processes {
		def := &s.config.Processes[i]
		if args.Policy != "" && args.Policy != string(def.Policy) || def.Policy == config.Proxied {
			continue
		}
		for _, p := range s.instancesLocked(def) {
			if spec := p.Spec(); args.ProcessID == "" || args.ProcessID == spec.Process || args.ProcessID == spec.Instance {
				targets = append(targets, p)
			}
		}
	}
	switch {
	case args.Policy == string(config.Proxied) || s.isWebLocked(args.ProcessID):
		return nil, usageError("The proxied process cannot be restarted in place; use \"rollbridge deploy\" for a zero-downtime replacement.",
			"deploy the active release again")
	case len(targets) == 0 && args.ProcessID != "":
		return nil, &control.Error{
			Code: "not-found", Message: fmt.Sprintf("No managed process with id %q to restart.", args.ProcessID),
			Hint: "`rollbridge status` lists the processes",
		}
	}
	return targets, nil
}

// instancesLocked are the running definitions of a configuration entry that
// `restart` may touch.
func (s *Supervisor) instancesLocked(def *config.Process) []runner.Process {
	var owners []runner.Process
	switch {
	case def.Policy == config.Singleton:
		owners = s.singletons
	case def.IsPersistent():
		owners = s.services
	case s.active != nil:
		owners = s.active.processes
	}
	matching, _ := split(owners, func(spec config.Spec) bool { return spec.Process == def.ID })
	return matching
}

func (s *Supervisor) isWebLocked(id string) bool {
	def := s.config.Process(id)
	return def != nil && def.Policy == config.Proxied
}
