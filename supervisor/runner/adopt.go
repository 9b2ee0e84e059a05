package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
)

// adoptScoped takes back a process that an earlier daemon kept running in a
// scope.
func (s *Systemd) adoptScoped(ctx context.Context, def gate.Definition, records []gate.Record, observe func(Event)) (Process, error) {
	var told past
	for _, r := range records {
		told.add(r)
	}
	e, err := s.find(ctx, def, told)
	if err != nil {
		return nil, fmt.Errorf("process %s: %w", def.Spec.Instance, err)
	}
	if e == nil && (def.Want != gate.Run || told.last.Kind == "") {
		_ = s.gates.Remove(def.ID)
		return nil, ErrGone
	}
	p := s.newScoped(def, observe)
	p.file.written = true
	p.output.begins(told.spec(def.Spec))
	if def.Want == gate.Drain {
		close(p.retired)
	}
	if e == nil {
		p.goOn(told)
	} else {
		p.takeBack(told, e)
	}
	return p, nil
}

// find looks for what is left of the newest instance; nil is nothing.
func (s *Systemd) find(ctx context.Context, def gate.Definition, told past) (*execution, error) {
	e := &execution{bus: s.opt.Bus, unit: def.Unit, exited: make(chan struct{}), exit: Exit{Unknown: true}}
	if fd, ok := openRecorded(told.started); ok && told.runs() && told.started.Unit == def.Unit {
		e.fd, e.shell, e.cgroup = fd, told.started.PID, cgroupOf(told.started.PID)
		e.ref = Ref{ID: def.ID, Unit: def.Unit, PID: e.shell, StartTime: told.started.StartTime, BootID: bootID()}
		_ = s.opt.Bus.Ref(ctx, def.Unit) // without, it may not be known that the kernel ended it for its memory
		go e.wait()
		return e, nil
	}
	unit, err := s.opt.Bus.Unit(ctx, def.Unit)
	switch {
	case errors.Is(err, systemd.ErrNoUnit):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if unit.ControlGroup != "" {
		e.cgroup = cgroup{systemd.CgroupPath(unit.ControlGroup)}
	}
	if e.Empty() {
		return nil, nil
	}
	e.shell, e.fd = told.started.PID, closedPidfd()
	close(e.exited)
	return e, nil
}

// openRecorded opens the process of a record, if it still is that one.
func openRecorded(r gate.Record) (pidfd, bool) {
	if r.PID == 0 {
		return pidfd{}, false
	}
	fd, err := stat{pid: r.PID, started: r.StartTime}.open()
	if err != nil {
		return pidfd{}, false
	}
	if s, err := readStat(r.PID); err != nil || s.zombie {
		fd.close()
		return pidfd{}, false
	}
	return fd, true
}

// closedPidfd stands for a process that is gone.
func closedPidfd() pidfd {
	fd, _ := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return newPidfd(fd)
}

// recall sets the status from what is known, before anyone watches.
func (t *task) recall(l *life, told past) {
	t.life, t.newest = l, told.last
	s := &t.status
	s.State = Failed
	s.Restarts, s.MemoryRestarts = told.last.Restarts, told.last.MemoryRestarts
	s.Reason, s.Exit, s.Err, s.GaveUp = Reason(told.started.Reason), told.lastExit(), told.err, told.gaveUp
	if told.started.PID != 0 {
		s.StartedAt, s.StartedBoot = told.started.At, told.started.Boot
	}
	if s.Reason == Memory {
		s.LastMemoryRestartAt = told.started.At
	}
	if l != nil {
		l.history, l.up = told.last.History, false
	}
}

// takeBack goes on with an instance that was found.
func (t *task) takeBack(told past, i instance) {
	l := newLife()
	t.recall(l, told)
	r := &run{instance: i, spec: t.spec, told: make(chan struct{})}
	r.spec.Release, r.spec.Generation = told.started.Release, told.started.Generation
	t.last = r
	if !closed(i.Exited()) {
		l.up, t.status.State, t.status.PID, t.status.Exit = true, Running, i.PID(), nil
	}
	l.attempt.finish(nil)
	go t.tellExit(l, r)
	go func() { t.keepOn(l, t.await(l, r, told.started.Boot)) }()
}

// goOn goes on after a process of which nothing is left: it ended while no one
// was there, waited for its restart, or has given up.
func (t *task) goOn(told past) {
	if told.runs() {
		told.unseen(Exit{Unknown: true})
		told.ended.Boot = t.clock() // it may have ended just now
		t.tell(t.spec, "process exited", exitData(told.exit))
	}
	if told.gaveUp || closed(t.retired) {
		t.recall(nil, told)
		return
	}
	l := newLife()
	t.recall(l, told)
	l.attempt.finish(told.err)
	waits := told.last.Kind == gate.Waiting
	if waits {
		t.status.RetryBoot = told.last.Boot + told.last.Until.Sub(told.last.At)
		t.status.RetryAt = time.Now().Add(t.status.RetryBoot - t.clock())
	}
	due := t.status.RetryAt
	go func() {
		if !waits {
			t.keepOn(l, outcome{spec: t.spec, ran: told.ran(), next: Crash})
			return
		}
		if !t.pause(l, due) {
			t.finish(l)
			return
		}
		t.keepOn(l, t.runOnce(l, cmp.Or(Reason(told.last.Then), Crash)))
	}()
}
