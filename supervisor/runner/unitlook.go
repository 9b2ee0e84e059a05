package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// follow looks at the unit whenever the bus says that something may have
// changed, until unfollow.
func (u *unit) follow() {
	u.looking.Lock()
	defer u.looking.Unlock()
	if u.watch != nil {
		return
	}
	changed, stop := u.r.opt.Bus.Watch(u.name)
	ctx, cancel := context.WithCancel(context.Background())
	u.watch = func() {
		cancel()
		stop()
	}
	go func() {
		for {
			select {
			case <-changed:
				u.look(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
}

// unfollow ends that: reading a unit that is gone would load it again.
func (u *unit) unfollow() {
	u.looking.Lock()
	defer u.looking.Unlock()
	if u.watch != nil {
		u.watch()
		u.watch = nil
	}
	if u.unmeasure != nil {
		u.unmeasure()
		u.measured, u.unmeasure = 0, nil
	}
}

// look reads what the unit says, then the records, which are never behind it;
// it tells what is new and publishes the state.
func (u *unit) look(ctx context.Context) {
	u.looking.Lock()
	defer u.looking.Unlock()
	state, err := u.read(ctx)
	if err != nil && !errors.Is(err, systemd.ErrNoUnit) {
		return // the next signal, or the next connection, brings us here again
	}
	told := u.told
	u.readRecords()
	u.settle(state)
	u.superviseMemory()
	u.tellNews()
	if u.told != told {
		u.keepTold()
	}
}

// tellNews reports what has happened, after the status that it led to.
func (u *unit) tellNews() {
	news := u.news
	u.news = nil
	for _, event := range news {
		u.observe(event)
	}
}

// tell notes an event, to be told with the next status.
func (u *unit) tell(about gate.Record, at time.Time, message string, data map[string]any) {
	u.news = append(u.news, u.event(about, at, message, data))
}

// read asks for the properties of the unit. One of that name that is not this
// process's is none of ours: ErrNoUnit.
func (u *unit) read(ctx context.Context) (systemd.UnitState, error) {
	state, err := u.r.opt.Bus.Unit(ctx, u.name)
	if err == nil && !u.r.owns(state, u.file.id()) {
		return systemd.UnitState{}, systemd.ErrNoUnit
	}
	return state, err
}

// readRecords takes the new records in and tells what they say.
func (u *unit) readRecords() {
	records, err := u.file.records(u.told)
	if err != nil {
		u.note(err, "process records not readable")
		return
	}
	for _, r := range records {
		if r.Kind == gate.Started && u.past.runs() {
			u.lost()
		}
		known := r.Kind == gate.Exited && u.past.exited // told when it was missed
		u.past.add(r)
		u.told = r.Seq
		if !known {
			u.tellRecord(r)
		}
	}
}

// lost notes an exit that no one saw: what ran was killed together with the
// helper that would have kept a record of it.
func (u *unit) lost() {
	u.past.unseen(Exit{Unknown: true})
	u.tell(u.past.started, time.Now(), "process exited", exitData(u.past.exit))
}

// tellRecord turns a record into the event it stands for.
func (u *unit) tellRecord(r gate.Record) {
	switch r.Kind {
	case gate.Started:
		u.tell(r, r.At, "process started", map[string]any{"pid": r.PID, "reason": r.Reason})
	case gate.Failed:
		switch Reason(r.Reason) {
		case Crash:
			u.tell(r, r.At, "process restart failed", map[string]any{"error": r.Error})
		case Memory:
			u.tell(r, r.At, "memory restart failed", map[string]any{"error": r.Error})
		}
	case gate.Exited:
		u.tell(u.past.started, r.At, "process exited", exitData(exitOf(r)))
	case gate.GaveUp:
		u.tell(u.past.started, r.At, "restart limit reached", limitData(u.Spec().Restart))
	}
}

// keepTold remembers for a later daemon what was told already.
func (u *unit) keepTold() {
	told := u.told
	if err := u.file.change(func(d *gate.Definition) { d.Told = told }); err != nil {
		u.note(err, "process definition not kept")
	}
}

// settle publishes what the properties and the records say together.
func (u *unit) settle(state systemd.UnitState) {
	u.missed(state)
	now := u.phase(state)
	if now.gaveUp && !u.past.gaveUp {
		u.past.gaveUp = true // systemd's counter ended it, before the gate had to
		u.tell(u.past.started, time.Now(), "restart limit reached", limitData(u.Spec().Restart))
	}
	u.mu.Lock()
	byHand := now.state == Stopped && u.status.State != Stopped && u.hurry == nil && u.cancel == nil
	if after := u.statusLocked(now); !reflect.DeepEqual(after, u.status) {
		u.publishLocked(func(s *Status) { *s = after })
	}
	u.ref.PID, u.ref.StartTime, u.ref.Invocation, u.ref.BootID = 0, 0, "", ""
	if started := u.past.started; u.past.runs() {
		u.ref.PID, u.ref.StartTime, u.ref.Invocation, u.ref.BootID = started.PID, started.StartTime, started.Invocation, bootID()
	}
	u.mu.Unlock()
	if byHand {
		u.tell(u.past.started, time.Now(), "process stopped by hand", map[string]any{"unit": u.name})
	}
}

// missed notes the end of what was running when its helper was killed too: the
// unit is beyond the helper, and there is no record. The properties say how it
// ended if nothing was started since.
func (u *unit) missed(state systemd.UnitState) {
	isLast := state.ExecMainPID == u.past.started.PID // the records may be ahead
	if !u.past.runs() || !isDead(state) && !(isWaiting(state) && isLast) {
		return
	}
	exit := Exit{Unknown: true}
	if isLast {
		exit = mainExit(state)
	}
	u.past.unseen(exit)
	u.past.ended.Boot = gate.Boottime()
	u.tell(u.past.started, time.Now(), "process exited", exitData(exit))
}

// isDead reports a unit of which nothing runs and nothing is due. On systemd
// 252 a unit is inactive for a moment in the middle of an automatic restart,
// with the job of it.
func isDead(state systemd.UnitState) bool {
	switch state.ActiveState {
	case "failed", "inactive", "":
		return state.Job == 0
	}
	return false
}

// isWaiting reports a unit that waits for its automatic restart.
func isWaiting(state systemd.UnitState) bool {
	return strings.HasPrefix(state.SubState, "auto-restart")
}

// mainExit is how the main process ended, in the CLD_ codes of waitid(2).
func mainExit(state systemd.UnitState) Exit {
	const exited, killed, dumped = 1, 2, 3
	exit := Exit{OOM: state.Result == oomKill}
	switch state.ExecMainCode {
	case exited:
		exit.Code = state.ExecMainStatus
	case killed, dumped:
		exit.Signal = syscall.Signal(state.ExecMainStatus)
	default:
		exit.Unknown = true
	}
	return exit
}

// phase is what a unit and its records say about the process now.
type phase struct {
	state     State
	pid       int
	retryAt   time.Time
	retryBoot time.Duration // retryAt on CLOCK_BOOTTIME
	gaveUp    bool
}

func (u *unit) phase(state systemd.UnitState) phase {
	p := &u.past
	ended := p.ended.At
	if u.file.wanted() != gate.Run {
		ended = time.Time{} // nothing will come
	}
	switch {
	case isDead(state):
		return u.deadPhase()
	case state.ActiveState == "active":
		return phase{state: Running, pid: cmp.Or(p.pid(), state.MainPID)}
	case state.ActiveState == "deactivating" && p.runs():
		return phase{state: Stopping, pid: p.started.PID}
	case state.ActiveState == "activating" && p.runs() && state.MainPID == p.started.PID:
		return phase{state: Running, pid: p.started.PID}
	case p.last.Seq <= u.begun: // nothing has happened since it was started
		return phase{state: Starting}
	case ended.IsZero():
		return phase{state: Failed}
	case p.last.Kind == gate.Waiting:
		return due(p.last, p.last.Until.Sub(p.last.At))
	case isWaiting(state):
		return due(p.ended, unitgen.RestartDelay(u.Spec().Restart))
	}
	return due(p.ended, 0)
}

// due is that of a process whose restart comes some time after a record.
func due(r gate.Record, later time.Duration) phase {
	return phase{state: Failed, retryAt: r.At.Add(later), retryBoot: r.Boot + later}
}

// deadPhase tells apart why nothing runs and nothing is due.
func (u *unit) deadPhase() phase {
	p := &u.past
	switch {
	case p.last.Seq <= u.begun:
		return phase{state: Stopped}
	case u.file.wanted() != gate.Run || p.last.Kind == gate.Ended:
		return phase{state: Failed}
	case p.exhausted(u.Spec().Restart):
		return phase{state: Failed, gaveUp: true}
	}
	return phase{state: Stopped} // by hand
}

// statusLocked is the status that follows. While a stop of ours is under way it
// alone says how far that is.
func (u *unit) statusLocked(now phase) Status {
	s, p := u.status, &u.past
	starting := u.cancel != nil && now.state == Stopped // there is no unit yet
	if u.hurry == nil && !starting {
		s.State, s.RetryAt, s.RetryBoot, s.GaveUp = now.state, now.retryAt, now.retryBoot, now.gaveUp
	}
	s.PID = now.pid
	if s.PID == 0 {
		s.RSSBytes, s.Children = 0, nil
	}
	if p.last.Kind == "" {
		return s
	}
	s.Restarts, s.MemoryRestarts = u.base.Restarts+p.last.Restarts, u.base.MemoryRestarts+p.last.MemoryRestarts
	s.Exit, s.Err = p.lastExit(), p.err
	if p.started.PID != 0 {
		s.StartedAt, s.StartedBoot, s.Reason = p.started.At, p.started.Boot, Reason(p.started.Reason)
		if s.Reason == Memory {
			s.LastMemoryRestartAt = p.started.At
		}
	}
	return s
}

// note adds trouble that the process itself does not have.
func (u *unit) note(err error, message string) {
	u.tell(gate.Record{}, time.Now(), message, map[string]any{"error": err.Error()})
}

// started is the record of the newest start.
func (u *unit) started() gate.Record {
	u.looking.Lock()
	defer u.looking.Unlock()
	return u.past.started
}

// adoptUnit takes back a process whose unit an earlier daemon has made.
func (s *Systemd) adoptUnit(ctx context.Context, def gate.Definition, records []gate.Record, observe func(Event)) (Process, error) {
	unit := def.Unit
	state, err := s.opt.Bus.Unit(ctx, unit)
	gone := errors.Is(err, systemd.ErrNoUnit)
	if err != nil && !gone {
		return nil, fmt.Errorf("process %s: %w", def.Spec.Instance, err)
	}
	if gone && (def.Want != gate.Run || len(records) == 0) || !gone && !s.owns(state, def.ID) {
		_ = s.gates.Remove(def.ID)
		return nil, ErrGone
	}
	u := s.newUnit(def, observe)
	u.name, u.ref.Unit, u.loaded, u.serial, u.file.written = unit, unit, !gone, def.Start.Serial, true
	for _, r := range records {
		if r.Seq <= def.Told {
			u.past.add(r)
			u.told = r.Seq
		}
	}
	if !gone {
		if err := s.opt.Bus.Ref(ctx, unit); err != nil {
			return nil, fmt.Errorf("process %s: %w", def.Spec.Instance, err)
		}
		u.follow()
	}
	u.look(ctx)
	return u, nil
}

// made reports whether a unit was made by this runner, or by the one of an
// earlier daemon.
func (s *Systemd) made(state systemd.UnitState) bool {
	return slices.Contains(state.Environment, gate.DirVariable+"="+string(s.gates))
}

// owns reports whether a unit was made for a definition.
func (s *Systemd) owns(state systemd.UnitState, id string) bool {
	return s.made(state) && slices.Contains(state.Environment, gate.IDVariable+"="+id)
}
