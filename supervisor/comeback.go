package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

var errResumeTimeout = errors.New("it did not answer within the time for resuming")

// comeBack starts what Resume has found gone, in the background and in the
// normal order: services, handoff services, companions, web process, and when
// that answers, the singletons. op is the operation under way, so that nobody
// else changes what runs until everything is started.
func (s *Supervisor) comeBack(op *operation, r *resumption) {
	if r.back == nil || r.back.web == nil {
		op.end()
		close(s.resumed)
		return
	}
	c := &comeback{s: s, release: r.back, gone: slices.Concat(r.services, r.processes), singletons: r.singletons, timeout: r.config.ResumeTimeout}
	if c.isBack() && len(c.gone) == 0 && len(c.singletons) == 0 {
		op.end()
		close(s.resumed)
		return
	}
	s.background.Go(func() { c.run(op) })
}

// comeback brings one release back.
type comeback struct {
	s          *Supervisor
	release    *release
	gone       []runner.Process // to be started, in order
	singletons []config.Spec    // to be started or replaced
	timeout    time.Duration
	told       bool // Resumed
}

// run tries until the release answers, or is not to come back any more.
func (c *comeback) run(op *operation) {
	defer c.tell()
	for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
		started := c.start(op)
		op.end()
		if !started {
			return
		}
		err := c.awaitAnswer()
		if c.s.ending.Err() != nil {
			return
		}
		c.replaceSingletons()
		if err == nil || !slices.Contains(c.gone, c.release.web) {
			c.s.setProblem(resumeCommand, "")
			return
		}
		c.failed(err, pause)
		if !wait(c.s.ending, pause) {
			return
		}
		var gone bool
		if op, gone = c.again(); gone {
			return
		}
	}
}

// tell says that whoever waits for the release need not wait any longer.
func (c *comeback) tell() {
	if !c.told {
		c.told = true
		close(c.s.resumed)
	}
}

// start starts what does not run and is not due either. It reports false when
// the operation was cancelled; then nothing is left of what it has started.
func (c *comeback) start(op *operation) bool {
	c.ifWanted(func() { c.s.proxy.Switch(c.release.upstream) })
	var started []runner.Process
	for _, p := range c.gone {
		if !isDown(p) {
			continue
		}
		spec := p.Spec()
		op.step("start", "start %s%s", spec.Instance, onPort(spec.Port))
		started = append(started, p)
		err := op.startProcess(p)
		if op.ctx.Err() != nil {
			c.cancelled(op, started)
			return false
		}
		if err != nil {
			c.s.Note("process not brought back", map[string]any{"error": err.Error(), "processId": spec.Instance, "releaseId": spec.Release})
		}
	}
	return true
}

// cancelled undoes a start that was cancelled.
func (c *comeback) cancelled(op *operation, started []runner.Process) {
	c.ifWanted(func() { c.s.proxy.Switch(nil) })
	if err := stopInOrder(c.s.life, started); err != nil {
		c.s.Note("release drain failed", map[string]any{"error": err.Error(), "releaseId": c.release.id, "generation": c.release.generation})
	}
	c.s.setProblem(resumeCommand, fmt.Sprintf("%s was not brought back: %v", c.release.name(), context.Cause(op.ctx)))
}

// awaitAnswer waits until the web process answers, or nothing will make it
// answer. Whoever waits for the release is told when the time for it is over.
func (c *comeback) awaitAnswer() error {
	late := time.NewTimer(c.timeout)
	defer late.Stop()
	for {
		st, changed := c.release.web.Watch()
		proven, again := c.s.provenAt(c.release)
		switch {
		case st.State == runner.Running && st.StartedAt.Equal(proven):
			return nil
		case isDown(c.release.web):
			return &processError{process: c.release.web, cause: errors.New(lastFailure(st))}
		}
		select {
		case <-changed:
		case <-again:
		case <-late.C:
			c.ifWanted(func() { c.s.problems[resumeCommand] = c.problem(errResumeTimeout) })
			c.tell()
		case <-c.s.ending.Done():
			return context.Cause(c.s.ending)
		}
	}
}

func (c *comeback) isBack() bool {
	st, _ := c.release.web.Watch()
	proven, _ := c.s.provenAt(c.release)
	return st.State == runner.Running && st.StartedAt.Equal(proven)
}

// isWanted reports whether the release is still the active one.
func (c *comeback) isWanted() (wanted bool) {
	c.ifWanted(func() { wanted = true })
	return wanted
}

// ifWanted does something in the same step in which it sees that the release is
// still the active one.
func (c *comeback) ifWanted(do func()) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.active == c.release {
		do()
	}
}

// replaceSingletons starts the singletons that are missing, and replaces those of
// other releases, unless a deploy has seen to it meanwhile.
func (c *comeback) replaceSingletons() {
	if len(c.singletons) == 0 {
		return
	}
	op, gone := c.again()
	if gone {
		return
	}
	defer op.end()
	if op.commit() != nil {
		return
	}
	for _, spec := range c.singletons {
		op.step("singletons", "replace singleton %s", spec.Instance)
		if err := c.s.replaceSingleton(spec); err != nil {
			c.s.Note("process not brought back", map[string]any{"error": err.Error(), "processId": spec.Instance, "releaseId": spec.Release})
		}
	}
	c.singletons = nil
}

// again makes it the operation under way once more. It reports true when the
// release is not to come back any more.
func (c *comeback) again() (op *operation, gone bool) {
	op, err := c.s.begin(context.Background(), resumeCommand, c.release.id, true, func(any) {})
	if err != nil {
		return nil, true
	}
	if !c.isWanted() {
		op.end()
		return nil, true
	}
	return op, false
}

// failed tells that the release is not back, and when it is tried again. Until
// then requests are refused: nothing would answer them.
func (c *comeback) failed(err error, pause time.Duration) {
	c.s.Note("release not brought back", map[string]any{
		"error": err.Error(), "releaseId": c.release.id, "generation": c.release.generation, "retryInMs": pause.Milliseconds(),
	})
	c.ifWanted(func() {
		c.s.problems[resumeCommand] = c.problem(err)
		c.s.proxy.Switch(nil)
	})
	c.tell()
}

func (c *comeback) problem(err error) string {
	return fmt.Sprintf("%s is not back: %v", c.release.name(), err)
}
