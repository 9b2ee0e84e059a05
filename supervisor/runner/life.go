package runner

import (
	"context"
	"fmt"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/restart"
)

// life is the time from a start until nothing runs or is due any more. Its
// restart budget is fresh.
type life struct {
	quit  chan struct{} // closed when it shall end
	done  chan struct{} // closed when it has
	err   error         // what could not be ended; read after done
	ctx   context.Context
	hurry context.CancelFunc // ends ctx: SIGKILL at once

	history restart.History // used by its goroutine only

	// Guarded by the task's mu.
	asked   bool     // quit is closed
	up      bool     // the command is being started or runs
	attempt *attempt // the newest start
}

// attempt is one try to start the command.
type attempt struct {
	done chan struct{}
	err  error // read after done
}

func newLife() *life {
	ctx, hurry := context.WithCancel(context.Background())
	return &life{
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
		ctx:     ctx,
		hurry:   hurry,
		up:      true,
		attempt: newAttempt(),
	}
}

func (a *attempt) wait(ctx context.Context) error {
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func newAttempt() *attempt { return &attempt{done: make(chan struct{})} }

func (a *attempt) finish(err error) {
	a.err = err
	close(a.done)
}

// wait returns when the life is over, or the context.
func (l *life) wait(ctx context.Context) error {
	if l == nil {
		return nil
	}
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end returns when the life is over; the end of the context hurries it.
func (l *life) end(ctx context.Context) error {
	if l == nil {
		return nil
	}
	defer context.AfterFunc(ctx, l.hurry)()
	<-l.done
	return l.err
}

// run is an instance with the definition it was started from.
type run struct {
	instance
	spec config.Spec
	told chan struct{} // closed when its exit was reported
}

// keep is the goroutine of a life: start, wait for the exit, and again by the
// policy, until it is asked to quit, gives up or is retired.
func (t *task) keep(l *life, reason Reason) {
	t.keepOn(l, t.runOnce(l, reason))
}

// outcome is how a run came to its end: what was started, how long it ran and
// why it is started again, or that the life was asked to end meanwhile.
type outcome struct {
	spec  config.Spec
	ran   time.Duration
	next  Reason
	asked bool
}

// keepOn goes on after a run.
func (t *task) keepOn(l *life, o outcome) {
	for !o.asked {
		due, again := t.decide(l, o)
		t.clear(l)
		if !again || !t.pause(l, due) {
			break
		}
		o = t.runOnce(l, o.next)
	}
	t.finish(l)
}

// runOnce starts the command and waits for its exit.
func (t *task) runOnce(l *life, reason Reason) outcome {
	attempt, spec := t.prepare(l, reason)
	instance, err := t.launchNext(l, spec, reason)
	if err != nil {
		t.startFailed(l, spec, reason, err)
		attempt.finish(err)
		return outcome{spec: spec, next: Crash, asked: closed(l.quit)}
	}
	began := t.clock()
	r := t.started(l, spec, reason, instance)
	attempt.finish(nil)
	return t.await(l, r, began)
}

// await waits for the exit of a run, or until the life is asked to end. A run
// that uses too much memory is ended.
func (t *task) await(l *life, r *run, began time.Duration) outcome {
	watching, done := context.WithCancel(l.ctx)
	defer done()
	select {
	case <-r.told:
		return outcome{spec: r.spec, ran: t.clock() - began, next: Crash}
	case <-t.memoryExceeded(watching, r):
		ran := t.clock() - began
		t.endForMemory(l)
		return outcome{spec: r.spec, ran: ran, next: Memory}
	case <-l.quit:
		return outcome{spec: r.spec, asked: true}
	}
}

// prepare announces an attempt. The first one of a life was announced with it.
func (t *task) prepare(l *life, reason Reason) (*attempt, config.Spec) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch reason {
	case Crash:
		l.up, l.attempt = true, newAttempt()
		t.publishLocked(func(s *Status) { s.Restarts++ })
	case Memory:
		l.up, l.attempt = true, newAttempt()
		t.publishLocked(func(s *Status) { s.MemoryRestarts, s.LastMemoryRestartAt = s.MemoryRestarts+1, time.Now() })
	}
	return l.attempt, t.spec
}

// launchNext starts the command if nothing is left of the run before.
func (t *task) launchNext(l *life, spec config.Spec, reason Reason) (instance, error) {
	if last := t.lastRun(); last != nil {
		if !last.Empty() {
			return nil, fmt.Errorf("the run before is not over: %w", leftError(last))
		}
		t.release(last)
	}
	t.output.begins(spec)
	return t.launch(spec, func(ref Ref) error {
		return t.note(l, spec, gate.Started, func(r *gate.Record) {
			r.PID, r.StartTime, r.Unit, r.Reason = ref.PID, ref.StartTime, ref.Unit, string(reason)
			r.Code, r.Signal, r.Unseen, r.Ran, r.Error = 0, 0, false, 0, ""
		})
	})
}

// note writes a record, with all that a later daemon has to know.
func (t *task) note(l *life, spec config.Spec, kind gate.Kind, edit func(*gate.Record)) error {
	t.mu.Lock()
	r := t.newest.Next(kind)
	r.Release, r.Generation = spec.Release, spec.Generation
	r.Restarts, r.MemoryRestarts, r.History = t.status.Restarts, t.status.MemoryRestarts, l.history
	edit(&r)
	t.newest = r
	t.mu.Unlock()
	return t.book.append(r)
}

func (t *task) started(l *life, spec config.Spec, reason Reason, i instance) *run {
	r := &run{instance: i, spec: spec, told: make(chan struct{})}
	t.mu.Lock()
	t.last = r
	t.publishLocked(func(s *Status) {
		if !l.asked {
			s.State = Running
		}
		s.PID, s.Reason, s.Exit, s.Err, s.RetryAt = r.PID(), reason, nil, nil, time.Time{}
		s.StartedAt, s.StartedBoot = t.startedAtLocked(r)
	})
	t.mu.Unlock()
	t.tell(spec, "process started", map[string]any{"pid": r.PID(), "reason": string(reason)})
	go t.tellExit(l, r)
	return r
}

// startedAtLocked is when a run was started: its identity, so it is the time in
// the record, if there is one.
func (t *task) startedAtLocked(r *run) (at time.Time, boot time.Duration) {
	if t.newest.Kind == gate.Started && t.newest.PID == r.PID() {
		return t.newest.At.Round(0), t.newest.Boot
	}
	return time.Now(), gate.Boottime()
}

func (t *task) startFailed(l *life, spec config.Spec, reason Reason, err error) {
	t.mu.Lock()
	l.up = false
	t.publishLocked(func(s *Status) {
		s.Err = err
		if !l.asked {
			s.State = Failed
		}
	})
	t.mu.Unlock()
	_ = t.note(l, spec, gate.Failed, func(r *gate.Record) { r.Error, r.Reason = err.Error(), string(reason) })
	switch reason {
	case Crash:
		t.tell(spec, "process restart failed", map[string]any{"error": err.Error()})
	case Memory:
		t.tell(spec, "memory restart failed", map[string]any{"error": err.Error()})
	}
}

// tellExit reports the exit of the command as soon as it happens, whatever
// lives on or is being stopped then.
func (t *task) tellExit(l *life, r *run) {
	defer close(r.told)
	<-r.Exited()
	exit := r.Exit()
	t.mu.Lock()
	l.up = false
	t.publishLocked(func(s *Status) {
		s.PID, s.Exit, s.RSSBytes, s.Children = 0, &exit, 0, nil
		if s.State == Running {
			s.State = Failed
		}
	})
	t.mu.Unlock()
	_ = t.note(l, r.spec, gate.Exited, func(r *gate.Record) {
		r.Code, r.Signal, r.Unseen = exit.Code, int(exit.Signal), exit.Unknown
		if exit.OOM {
			r.Result = oomKill
		}
	})
	t.tell(r.spec, "process exited", exitData(exit))
}

// exitData has null for what does not apply.
func exitData(e Exit) map[string]any {
	data := map[string]any{"code": nil, "signal": nil}
	if e.OOM {
		data["oomKilled"] = true
	}
	switch {
	case e.Unknown:
	case e.Signal != 0:
		data["signal"] = signalName(e.Signal)
	default:
		data["code"] = e.Code
	}
	return data
}

// decide asks the policy of the newest definition when to start again, if at
// all. The answer counts from now, which is the moment of the exit, or when a
// stop for the sake of memory was done.
func (t *task) decide(l *life, o outcome) (due time.Time, again bool) {
	if closed(l.quit) || closed(t.retired) {
		return time.Time{}, false
	}
	policy := t.Spec().Restart
	decision, next := restart.Decide(policy, l.history, t.clock(), o.ran)
	l.history = next
	if decision.GiveUp {
		t.publish(func(s *Status) { s.GaveUp, s.RetryAt = true, time.Time{} })
		_ = t.note(l, o.spec, gate.GaveUp, func(*gate.Record) {})
		t.tell(o.spec, "restart limit reached", limitData(policy))
		return time.Time{}, false
	}
	due, dueBoot := time.Now().Add(decision.Delay), gate.Boottime()+decision.Delay
	_ = t.note(l, o.spec, gate.Waiting, func(r *gate.Record) { r.Until, r.Then = due, string(o.next) })
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.asked {
		t.publishLocked(func(s *Status) { s.RetryAt, s.RetryBoot = due, dueBoot })
	}
	return due, true
}

func limitData(policy config.Restart) map[string]any {
	return map[string]any{"maxRestarts": policy.Max, "windowMs": policy.Window.Milliseconds()}
}

// pause waits until due; false means that nothing shall be started then.
func (t *task) pause(l *life, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return !closed(l.quit) && !closed(t.retired)
	case <-l.quit:
	case <-t.retired:
	}
	return false
}

// clear ends what the command left behind when it ended by itself.
func (t *task) clear(l *life) {
	if r := t.lastRun(); r != nil {
		if err := t.end(l, r); err != nil {
			t.publish(func(s *Status) { s.Err = err })
		}
	}
}

// end stops one run, with its hooks if its command still runs.
func (t *task) end(l *life, r *run) error {
	s := stopping{target: r, spec: t.Spec(), tell: func(message string, data map[string]any) {
		t.tell(r.spec, message, data)
	}}
	sequence := s.run
	if closed(r.Exited()) {
		sequence = s.leftovers
	}
	if err := sequence(l.ctx); err != nil {
		return err
	}
	t.release(r)
	return nil
}

// release forgets a run of which nothing is left.
func (t *task) release(r *run) {
	<-r.told
	t.mu.Lock()
	t.last = nil
	t.mu.Unlock()
	r.Release()
}

// finish ends what is left, and the life.
func (t *task) finish(l *life) {
	defer l.hurry()
	if r := t.lastRun(); r != nil {
		l.err = t.end(l, r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life = nil
	t.publishLocked(func(s *Status) {
		s.RetryAt = time.Time{}
		switch {
		case l.err != nil:
			s.State, s.Err = Failed, l.err
		case l.asked:
			s.State = Stopped
		}
	})
	close(l.done)
}

func (t *task) lastRun() *run {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}
