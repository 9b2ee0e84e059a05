package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
)

// Stop ends the process and takes its unit away.
func (u *unit) Stop(ctx context.Context) error {
	u.mu.Lock()
	u.stops++
	if u.cancel != nil {
		u.cancel(ErrStopped)
	}
	u.mu.Unlock()
	defer context.AfterFunc(ctx, u.hurryUp)()
	_ = u.take(context.WithoutCancel(ctx)) // a stop never leaves before it is done
	defer u.give()
	if err := u.end(ctx); err != nil {
		return err
	}
	u.forget()
	return nil
}

// forget drops what is kept for a later daemon; what was counted is not lost.
func (u *unit) forget() {
	u.looking.Lock()
	defer u.looking.Unlock()
	u.file.forget()
	u.past, u.told, u.begun = past{}, 0, 0
	u.mu.Lock()
	defer u.mu.Unlock()
	u.base = counters(u.status)
}

// hurryUp brings SIGKILL into the stop under way, whoever asked for it.
func (u *unit) hurryUp() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hurry != nil {
		u.hurry()
	}
}

// counters are what is counted over the whole life of a process.
func counters(s Status) Status {
	return Status{Restarts: s.Restarts, MemoryRestarts: s.MemoryRestarts, LastMemoryRestartAt: s.LastMemoryRestartAt}
}

// end is the whole stop sequence; the end of ctx brings SIGKILL. It returns when
// nothing is left and the name is free.
func (u *unit) end(ctx context.Context) (err error) {
	if !u.isLoaded() {
		u.publish(func(s *Status) { s.State, s.RetryAt, s.GaveUp = Stopped, time.Time{}, false })
		return nil
	}
	u.ending(ctx, func(ctx context.Context) {
		if err := u.file.want(gate.Stop); err != nil {
			u.tellNow("process definition not kept", map[string]any{"error": err.Error()})
		}
		if err = u.endCommand(ctx, false); err == nil {
			err = u.unload(context.WithoutCancel(ctx))
		}
	})
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.publishLocked(func(s *Status) { s.State, s.Err = Failed, err })
		return err
	}
	u.loaded = false
	u.publishLocked(func(s *Status) { s.State, s.PID, s.RetryAt, s.GaveUp = Stopped, 0, time.Time{}, false })
	return nil
}

func (u *unit) isLoaded() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.loaded
}

// ending runs a stop that whoever calls Stop can hurry, and which alone says
// meanwhile how far things are.
func (u *unit) ending(ctx context.Context, stop func(context.Context)) {
	u.mu.Lock()
	ctx, u.hurry = context.WithCancel(ctx)
	u.publishLocked(func(s *Status) { s.State, s.RetryAt, s.GaveUp = Stopping, time.Time{}, false })
	u.mu.Unlock()
	defer u.calm()
	stop(ctx)
}

// calm ends the possibility to hurry.
func (u *unit) calm() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hurry()
	u.hurry = nil
}

// endCommand stops the command with its hooks, and its descendants. When another
// instance is to follow, what outlives the command is left to systemd, which
// ends it before: in the unit nobody could tell it from the next instance.
func (u *unit) endCommand(ctx context.Context, another bool) error {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), unitWait)
	defer cancel()
	u.look(asking) // before the properties: they tell whether what it found still runs
	state, err := u.read(asking)
	if errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	if err != nil {
		return err
	}
	if state.ControlGroup == "" {
		return nil
	}
	target := u.members(state)
	defer target.close()
	s := stopping{target: target, spec: u.Spec(), tell: func(message string, data map[string]any) {
		u.tellNow(message, data)
	}}
	target.alone = another
	if !another {
		defer u.stopAfter(target)()
	}
	if closed(target.Exited()) {
		return s.leftovers(ctx)
	}
	return s.run(ctx)
}

// stopAfter has systemd stop the unit as soon as its command has ended, so that
// the gate is not started once more for nothing. The stop returned ends the wait
// for that; what remains to be done is unload's.
func (u *unit) stopAfter(target *unitTarget) (stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), unitWait)
	go func() {
		defer cancel()
		select {
		case <-target.Exited():
			_ = u.r.opt.Bus.Stop(ctx, u.name)
		case <-ctx.Done():
		}
	}()
	return cancel
}

// tellNow reports an event of the instance that is being stopped.
func (u *unit) tellNow(message string, data map[string]any) {
	u.looking.Lock()
	defer u.looking.Unlock()
	u.observe(u.event(u.past.started, time.Now(), message, data))
}

// unload stops the unit, in which nothing runs any more, and frees its name.
func (u *unit) unload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unitWait)
	defer cancel()
	bus := u.r.opt.Bus
	defer u.unfollow()
	if _, err := u.read(ctx); err != nil {
		u.look(ctx)
		return unlessGone(err)
	}
	if err := bus.Stop(ctx, u.name); err != nil {
		return fmt.Errorf("stop unit %s: %w", u.name, err)
	}
	u.look(ctx) // its last words
	if err := bus.ResetFailed(ctx, u.name); err != nil {
		return fmt.Errorf("reset unit %s: %w", u.name, err)
	}
	if err := bus.Unref(ctx, u.name); err != nil {
		return fmt.Errorf("release unit %s: %w", u.name, err)
	}
	return nil
}

func unlessGone(err error) error {
	if errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	return err
}

// members is what runs in the unit, for a stop.
func (u *unit) members(state systemd.UnitState) *unitTarget {
	t := &unitTarget{cgroup: cgroup{systemd.CgroupPath(state.ControlGroup)}, exited: make(chan struct{})}
	started := u.started()
	fd, ok := openRecorded(started)
	if !ok || state.MainPID != started.PID { // the gate waits, or nothing runs
		t.pid = state.MainPID
		close(t.exited)
		return t
	}
	t.pid, t.fd = started.PID, &fd
	go func() {
		defer close(t.exited)
		_ = fd.exited(context.Background())
	}()
	return t
}

// unitTarget is the processes of a unit.
type unitTarget struct {
	cgroup
	pid    int
	fd     *pidfd // of the command, nil when it does not run
	alone  bool   // nothing is a member once the command has ended
	exited chan struct{}
}

func (t *unitTarget) members() []stat {
	ended := t.fd == nil || t.fd.hasExited()
	if t.alone && ended {
		return nil
	}
	members := t.cgroup.members()
	if ended {
		members = slices.DeleteFunc(members, func(m stat) bool { return isNote(m.pid) })
	}
	return members
}

// isNote reports whether a process is the one that records how the command
// ended: it is systemd's, and short.
func isNote(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(line, []byte("\x00exec\x00--ended\x00"))
}

// close gives up waiting for the command.
func (t *unitTarget) close() {
	if t.fd != nil {
		t.fd.close()
	}
}

func (t *unitTarget) PID() int                       { return t.pid }
func (t *unitTarget) Exited() <-chan struct{}        { return t.exited }
func (t *unitTarget) Empty() bool                    { return isEmpty(t) }
func (t *unitTarget) Left() []string                 { return namesOf(t) }
func (t *unitTarget) Signal(sig syscall.Signal)      { signalAll(t, sig, nobody) }
func (t *unitTarget) Gone(ctx context.Context) error { return awaitGone(ctx, t) }
func (t *unitTarget) Kill(ctx context.Context) error { return killAll(ctx, t, func() {}) }

// Hook runs a lifecycle command in the unit.
func (t *unitTarget) Hook(ctx context.Context, spec config.Spec, command string) (Exit, error) {
	return hookIn(ctx, t.cgroup, spec, t.pid, command)
}
