package supervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// Deploy starts a release, waits until it is healthy, moves new traffic to it
// and retires the one before. It goes on when the client leaves.
func (s *Supervisor) Deploy(ctx context.Context, args DeployArgs, progress func(any)) (DeployResult, error) {
	if args.ReleasePath == "" {
		return DeployResult{}, usageError("releasePath is required", "name the directory of the release")
	}
	want, err := target{args.ReleaseID, args.ReleasePath, args.Revision}.completed(time.Now())
	if err != nil {
		return DeployResult{}, err
	}
	op, err := s.begin(ctx, "deploy", want.id, args.Wait, progress)
	if err != nil {
		return DeployResult{}, err
	}
	previous, result, err := s.deploy(op, want, args.ConfigPath)
	s.awaitDrained(ctx, op, previous, args.WaitDrained)
	return result, err
}

// deploy brings the target up and switches to it, and ends the operation. An
// error with a result means that traffic has moved all the same.
func (s *Supervisor) deploy(op *operation, want target, configPath string) (previous *release, result DeployResult, err error) {
	defer op.end()
	op.step("plan", "read the configuration")
	cfg, err := s.reloadConfig(configPath)
	if err != nil {
		return nil, result, err
	}
	op.note("deploy starting", map[string]any{"releaseId": want.id, "releasePath": want.path, "revision": want.revision})

	next, previous, err := s.bringUp(op, cfg, want)
	if err != nil {
		op.note("deploy failed", map[string]any{"error": err.Error(), "releaseId": want.id})
		return nil, result, err
	}
	// The commit was made. From here on nothing is undone: what goes wrong is
	// reported, and the previous release is drained whatever happens.
	defer s.retireReplaced(previous, cfg)

	s.refreshServices(next)
	err = errors.Join(s.replaceSingletons(op, next), s.stopUnwanted(op, next))
	if err != nil {
		err = &afterSwitchError{release: next, cause: err}
	}
	return previous, deployResult(next, previous), err
}

// bringUp takes the release from nothing to active. When a step fails, or a
// defect ends it, the steps before it are undone and the old release has noticed
// nothing.
func (s *Supervisor) bringUp(op *operation, cfg *config.Config, want target) (_, previous *release, err error) {
	next, err := s.plan(cfg, want)
	if err != nil {
		return nil, nil, err
	}
	s.setStarting(next)
	defer s.setStarting(nil)

	var undo undoList
	switched := false
	defer func() {
		if !switched {
			op.step("undo", "stop what was started")
			undo.run()
		}
	}()
	undo.add(s.dropCandidate)
	if err := s.recordIntent(next); err != nil {
		return nil, nil, err
	}
	if err = s.startServices(op, next, &undo); err != nil {
		return nil, nil, err
	}
	undo.add(func() { s.discard(next, err) })
	if err := next.start(op); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", next.name(), err)
	}
	if err := s.awaitHealthy(op, next); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", next.name(), err)
	}
	if err := next.checkCompanions(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", next.name(), err)
	}
	if previous, err = s.activate(op, next); err != nil {
		return nil, nil, err
	}
	switched = true
	s.recordCommit(next)
	return next, previous, nil
}

// setStarting names the release that is being brought up, for `logs` and for the
// state.
func (s *Supervisor) setStarting(r *release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting = r
	s.state.touch()
}

// recordIntent has on disk what is about to be started, before any of it runs:
// whatever happens then, a later daemon finds it. Where nothing outlives the
// daemon, the deploy does not depend on it.
func (s *Supervisor) recordIntent(next *release) error {
	if !s.survives() {
		return nil
	}
	err := s.keepCandidate(next.config)
	if err == nil {
		err = s.state.save()
	}
	if err == nil {
		return nil
	}
	return &control.Error{
		Code:    "state",
		Message: fmt.Sprintf("start %s: record it first: %v", next.name(), err),
		Hint:    "nothing was started; make room for " + filepath.Dir(s.opt.State.File) + ", or make it writable, and deploy again",
	}
}

// recordCommit has the commit on disk before anything is done that relies on it.
// What fails is tried again in the background, and told: traffic has moved.
func (s *Supervisor) recordCommit(next *release) {
	err := s.state.save()
	if err == nil {
		err = s.keepInForce()
	}
	if err != nil && s.survives() {
		next.warn("", "the switch could not be recorded: "+err.Error())
	}
}

// activate is the commit: from its one critical section on, new requests go to
// next, and status, configuration and list say so.
func (s *Supervisor) activate(op *operation, next *release) (previous *release, err error) {
	s.mu.Lock()
	if err := op.commitLocked(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	previous = s.active
	next.becomeLocked(active)
	s.generations[next.id] = next.generation
	next.startedServices = nil
	s.active, s.comeback, s.config = next, next, next.config
	delete(s.problems, resumeCommand)
	s.listLocked(next)
	s.proxy.Configure(s.proxyOptions(next.config))
	s.proxy.Switch(next.upstream)
	s.mu.Unlock()

	op.step("switch", "new requests go to %s", next.name())
	op.note("traffic switched", map[string]any{
		"releaseId": next.id, "generation": next.generation, "previousReleaseId": previous.idOrNil(),
	})
	s.background.Go(func() { s.holdWhileDown(next) })
	return previous, nil
}

// retireReplaced begins the drain of the release that was replaced, if any.
func (s *Supervisor) retireReplaced(previous *release, cfg *config.Config) {
	if previous == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retireLocked(previous, cfg)
}

// errDefect stands for the failure of a deploy that a defect of ours has ended.
var errDefect = errors.New("internal error")

// discard stops everything a failed deploy has started of its release, and
// tells how its processes fared.
func (s *Supervisor) discard(r *release, cause error) {
	if cause == nil {
		cause = errDefect
	}
	s.noteStartupFailure(r, cause, "before cleanup")
	if err := stopInOrder(s.life, r.processes); err != nil {
		s.Note("release drain failed", map[string]any{"error": err.Error(), "releaseId": r.id, "generation": r.generation})
	}
	s.noteStartupFailure(r, cause, "after cleanup")
}

// noteStartupFailure records the state of a failing release's processes, but
// neither commands nor output, which may hold secrets.
func (s *Supervisor) noteStartupFailure(r *release, cause error, phase string) {
	s.Note("release startup failed", map[string]any{"error": cause.Error(), "phase": phase, "releaseId": r.id})
	for _, p := range r.processes {
		st, _ := p.Watch()
		code, signal := exitFields(st.Exit)
		s.Note("release startup process status", map[string]any{
			"exitCode": code, "exitSignal": signal, "phase": phase, "pid": pidOrNil(st.PID),
			"processId": p.Spec().Instance, "releaseId": r.id, "state": string(st.State),
		})
	}
}

// checkCompanions refuses a release one of whose companions has given up.
func (r *release) checkCompanions() error {
	for _, p := range r.processes {
		if st, _ := p.Watch(); st.GaveUp {
			return &processError{process: p, cause: fmt.Errorf("gave up after %d restarts: %s", st.Restarts+st.MemoryRestarts, lastFailure(st))}
		}
	}
	return nil
}

// warnings is what a successful deploy wants known of companions that have had
// a bad start.
func (r *release) warnings() []Warning {
	var warnings []Warning
	for _, p := range r.processes {
		st, _ := p.Watch()
		restarts := st.Restarts + st.MemoryRestarts
		if p != r.web && (restarts > 0 || st.State == runner.Failed) {
			warnings = append(warnings, Warning{
				ProcessID: p.Spec().Instance,
				Message:   fmt.Sprintf("%s, restarted %d times since it was started", lastFailure(st), restarts),
			})
		}
	}
	return warnings
}

func deployResult(next, previous *release) DeployResult {
	return DeployResult{
		ActiveReleaseID: next.id, PreviousReleaseID: previous.idOrNil(),
		Generation: next.generation, Warnings: append(next.noted, next.warnings()...),
	}
}

// awaitDrained waits for the end of a drain on behalf of a client that asked
// for it, as long as the client is there.
func (s *Supervisor) awaitDrained(ctx context.Context, op *operation, r *release, wanted bool) {
	if r == nil || !wanted {
		return
	}
	op.progress(Progress{Phase: "drain", Message: "wait until " + r.name() + " is drained"})
	select {
	case <-r.gone:
	case <-control.Gone(ctx):
	}
}

// reloadConfig reads the configuration again, and refuses what a running daemon
// cannot take over. clientPath is the file the client read, if it told.
func (s *Supervisor) reloadConfig(clientPath string) (*config.Config, error) {
	if err := sameFile(clientPath, s.opt.Config.File); err != nil {
		return nil, err
	}
	defer s.opt.OnReload()()
	next, err := s.opt.Load()
	if err != nil {
		return nil, err
	}
	s.setProblem(fileProblem, "")
	if err := s.checkLive(next); err != nil {
		return nil, err
	}
	return next, nil
}

// sameFile checks that client and daemon speak of one configuration.
func sameFile(client, daemon string) error {
	if client == "" || client == daemon {
		return nil
	}
	a, errA := filepath.EvalSymlinks(client)
	b, errB := filepath.EvalSymlinks(daemon)
	if errors.Join(errA, errB) == nil && a == b {
		return nil
	}
	return &control.Error{
		Code:    "other-config",
		Message: fmt.Sprintf("the daemon reads %s, not %s", daemon, client),
		Hint:    "use --config " + daemon + ", or the control socket of the other daemon",
	}
}
