package supervisor

import (
	"context"
	"errors"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

var (
	errDrainTimeout = errors.New("the drain time-out is over")
	errStopNow      = errors.New("it is to be stopped now")
)

// retireLocked begins the end of a release that has no new traffic any more: in
// the background it is drained and stopped. cfg gives the stop and drain
// settings, so that a deploy can mend those of the release it replaces.
func (s *Supervisor) retireLocked(r *release, cfg *config.Config) {
	r.becomeLocked(draining)
	s.drainLocked(r, cfg)
}

// drainLocked drains and stops a draining release in the background, as long as
// a drain may take since it began.
func (s *Supervisor) drainLocked(r *release, cfg *config.Config) {
	s.state.touch()
	timeout := max(0, cfg.Proxy.DrainTimeout-time.Since(r.drainStartedAt))
	ctx, stopWaiting := context.WithTimeoutCause(s.attached, timeout, errDrainTimeout)
	ctx, r.cut = context.WithCancelCause(ctx)
	s.background.Go(func() {
		defer stopWaiting()
		defer r.cut(nil)
		s.drain(ctx, r, cfg)
	})
}

// drain waits until nothing is open on the release, or ctx ends, and stops it;
// when the daemon leaves meanwhile, a later one will.
func (s *Supervisor) drain(ctx context.Context, r *release, cfg *config.Config) {
	for _, p := range r.processes {
		s.noteUpdate(p, errors.Join(p.Retire(), takeStopSettings(p, cfg)))
	}
	early, rest := split(r.processes, func(spec config.Spec) bool { return stopsEarly(spec, cfg) })
	earlyStopped := make(chan error, 1)
	go func() { earlyStopped <- stopAll(s.life, early) }()

	err := r.upstream.Drain(ctx)
	if s.attached.Err() != nil && s.life.Err() == nil {
		return
	}
	if err != nil {
		r.upstream.CloseWebSockets(closeSpread(err, cfg))
	}
	err = errors.Join(stopInOrder(s.life, rest), <-earlyStopped)
	s.retired(r, err)
}

// closeSpread is the time over which the WebSockets left at the end of a drain
// are closed: spread, unless somebody waits for the stop.
func closeSpread(cause error, cfg *config.Config) time.Duration {
	if errors.Is(cause, errDrainTimeout) {
		return cfg.Proxy.CloseSpread
	}
	return 0
}

// stopsEarly reports whether a process is stopped when the drain begins.
func stopsEarly(spec config.Spec, cfg *config.Config) bool {
	def := cfg.Process(spec.Process)
	return def != nil && def.NonBlockingDrain
}

// takeStopSettings gives a process the stop settings of the configuration.
func takeStopSettings(p runner.Process, cfg *config.Config) error {
	def := cfg.Process(p.Spec().Process)
	if def == nil {
		return nil
	}
	spec := p.Spec()
	spec.Stop = config.Stop{Signal: def.StopSignal, Grace: def.GracefulStop, Lifecycle: def.Lifecycle}
	return p.Update(spec)
}

// retired notes that a release has come to its end, and forgets the oldest.
func (s *Supervisor) retired(r *release, err error) {
	s.mu.Lock()
	onRequest := r.onRequest
	r.stopErr = err
	s.mu.Unlock()
	switch {
	case err != nil:
		s.Note("release drain failed", map[string]any{"error": err.Error(), "releaseId": r.id, "generation": r.generation})
	case onRequest:
		s.Note("release stopped", map[string]any{"releaseId": r.id, "generation": r.generation})
	default:
		s.Note("release drained", map[string]any{"releaseId": r.id, "generation": r.generation})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.becomeLocked(stopped)
	s.pruneLocked()
	s.state.touch()
}
