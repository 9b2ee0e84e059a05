package runner

import (
	"errors"
	"syscall"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/restart"
)

// past is what the records of a process tell.
type past struct {
	last    gate.Record // the newest one
	started gate.Record // the newest Started
	exited  bool        // what started began has ended
	exit    Exit        // how, when exited
	ended   gate.Record // when, when exited
	err     error       // why the newest start failed, nil when it did not
	gaveUp  bool
}

// add takes one more record in.
func (p *past) add(r gate.Record) {
	switch r.Kind {
	case gate.Started:
		p.started, p.exited, p.err, p.gaveUp = r, false, nil, false
	case gate.Failed:
		p.err, p.ended, p.gaveUp = errors.New(r.Error), r, false
	case gate.Exited:
		if !p.exited { // else the properties have told more than the record
			p.exited, p.exit = true, exitOf(r)
		}
		p.ended = r
	case gate.GaveUp:
		p.gaveUp = true
	}
	p.last = r
}

// runs reports whether the records leave something running.
func (p *past) runs() bool { return p.started.PID != 0 && !p.exited }

// pid is that of what runs, 0 for nothing.
func (p *past) pid() int {
	if !p.runs() {
		return 0
	}
	return p.started.PID
}

// spec is the definition of what runs, as far as it tells instances apart.
func (p *past) spec(newest config.Spec) config.Spec {
	if p.started.Release != "" {
		newest.Release, newest.Generation = p.started.Release, p.started.Generation
	}
	return newest
}

// unseen notes that what was running has ended, and how.
func (p *past) unseen(e Exit) {
	p.exited, p.exit, p.ended = true, e, p.last
}

// ran is how long the newest start lasted.
func (p *past) ran() time.Duration {
	if p.err != nil || p.started.PID == 0 {
		return 0
	}
	return max(0, p.ended.Boot-p.started.Boot)
}

// exhausted reports whether the policy gives up after what has happened.
func (p *past) exhausted(policy config.Restart) bool {
	if p.gaveUp {
		return true
	}
	decision, _ := restart.Decide(policy, p.last.History, p.ended.Boot, p.ran())
	return decision.GiveUp
}

// lastExit is the exit of the newest instance, nil while it runs.
func (p *past) lastExit() *Exit {
	if !p.exited {
		return nil
	}
	exit := p.exit
	return &exit
}

func exitOf(r gate.Record) Exit {
	return Exit{Code: r.Code, Signal: syscall.Signal(r.Signal), Unknown: r.Unseen, OOM: r.Result == oomKill}
}

// oomKill is what systemd calls it (systemd.exec(5), $SERVICE_RESULT).
const oomKill = "oom-kill"
