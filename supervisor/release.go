package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"rollbridge/proxy"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// state is the state of a release, in the words of `status`.
type state string

const (
	starting state = "starting"
	active   state = "active"
	draining state = "draining"
	stopped  state = "stopped"
)

// nextStates are the allowed steps. A release that fails to start is thrown
// away, so it needs no state of its own.
var nextStates = map[state][]state{
	starting: {active, stopped},
	active:   {draining},
	draining: {stopped},
	stopped:  {},
}

// release is one deployment: a directory, the configuration it was planned
// from, and its processes.
type release struct {
	id, path, revision string
	generation         int
	config             *config.Config
	ports              map[string]int // by process id

	processes []runner.Process // in starting order: handoff services, companions, web
	web       runner.Process   // the proxied one
	upstream  *proxy.Upstream

	// What the release asks of the daemon's own processes once it is active.
	services, singletons []config.Spec

	configDigest string    // of the configuration, when only that is known
	extra        extra     // of the state file
	noted        []Warning // what the deploy found, and what could not be made sure of

	// cut ends the wait of a drain; set before the release becomes draining.
	cut context.CancelCauseFunc
	// gone is closed when the release is stopped; stopErr, set before, is what
	// could not be stopped.
	gone    chan struct{}
	stopErr error

	// Guarded by Supervisor.mu.
	state          state
	activatedAt    time.Time
	drainStartedAt time.Time
	stoppedAt      time.Time
	onRequest      bool          // stopped by a command, not replaced
	proven         time.Time     // start of the web process's instance that was healthy last
	answered       chan struct{} // closed when proven changes
	// startedServices are the daemon's own processes that the deploy has brought
	// up, until it commits: they end with it.
	startedServices []string
}

// name is how the release is called in errors.
func (r *release) name() string { return "release " + r.id }

// idOrNil is the id as answers and events give it: null when there is none. It
// is a copy: a pointer into the release would keep all of it for as long as the
// event is kept.
func (r *release) idOrNil() *string {
	if r == nil {
		return nil
	}
	id := r.id
	return &id
}

// digest tells the configuration that the release was planned from.
func (r *release) digest() string {
	if r.config == nil {
		return r.configDigest
	}
	return digestOf(r.config)
}

// prove notes that the instance of the web process started at that time is
// healthy.
func (s *Supervisor) prove(r *release, started time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.proven = started
	close(r.answered)
	r.answered = make(chan struct{})
	s.state.touch()
}

// provenAt is which instance of the web process was healthy last, and a channel
// that is closed when it is another one.
func (s *Supervisor) provenAt(r *release) (time.Time, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.proven, r.answered
}

// becomeLocked moves the release to its next state and stamps the time.
func (r *release) becomeLocked(next state) {
	if !slices.Contains(nextStates[r.state], next) {
		panic(fmt.Sprintf("release %s cannot go from %s to %s", r.id, r.state, next))
	}
	r.state = next
	switch now := time.Now(); next {
	case active:
		r.activatedAt = now
	case draining:
		r.drainStartedAt = now
	case stopped:
		r.stoppedAt = now
		close(r.gone)
	}
}

// warn notes something that the answer of the deploy tells.
func (r *release) warn(processID, message string) {
	r.noted = append(r.noted, Warning{ProcessID: processID, Message: message})
}

// stopAgainLocked notes that a stopped release was stopped once more.
func (r *release) stopAgainLocked() { r.stoppedAt = time.Now() }

// start starts the processes of the release, each as soon as the one before it
// has been started.
func (r *release) start(op *operation) error {
	for _, p := range r.processes {
		spec := p.Spec()
		op.step("start", "start %s%s", spec.Instance, onPort(spec.Port))
		if err := op.startProcess(p); err != nil {
			return err
		}
	}
	return nil
}

// startProcess starts a process for the operation, unless it was cancelled.
func (op *operation) startProcess(p runner.Process) error {
	if op.ctx.Err() != nil {
		return context.Cause(op.ctx)
	}
	defer op.s.state.touch()
	if err := p.Start(op.ctx, runner.Deploy); err != nil {
		return &processError{process: p, cause: err}
	}
	return nil
}

func onPort(port int) string {
	if port == 0 {
		return ""
	}
	return fmt.Sprintf(" on port %d", port)
}

// stopInOrder ends processes of a release: the web process and the companions
// together, then the handoff services, which both may need to the last. ctx
// ending means SIGKILL.
func stopInOrder(ctx context.Context, processes []runner.Process) error {
	services, rest := split(processes, func(s config.Spec) bool { return s.Policy == config.Service })
	return errors.Join(stopAll(ctx, rest), stopAll(ctx, services))
}

// split sorts processes by a question about their definitions.
func split(processes []runner.Process, question func(config.Spec) bool) (yes, no []runner.Process) {
	for _, p := range processes {
		if question(p.Spec()) {
			yes = append(yes, p)
		} else {
			no = append(no, p)
		}
	}
	return yes, no
}

// stopAll stops processes in parallel and reports every one that is left.
func stopAll(ctx context.Context, processes []runner.Process) error {
	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() {
			if err := p.Stop(ctx); err != nil {
				errs[i] = fmt.Errorf("stop %s: %w", p.Spec().Instance, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
