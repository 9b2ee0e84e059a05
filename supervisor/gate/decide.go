package gate

import (
	"time"

	"rollbridge/supervisor/restart"
)

// The reasons of a start that a gate tells apart.
const (
	crash  = "crash"  // automatic restart
	manual = "manual" // by hand, past the daemon
	memory = "memory"
)

// cause is why a gate runs.
type cause struct {
	reason    string
	serial    int    // of the newest token
	nRestarts uint32 // what the manager has counted
}

// asked is the cause that a definition's token gives, if it is a new one.
func asked(def Definition, last Record) (cause, bool) {
	if def.Start.Reason == "" || def.Start.Serial <= last.Serial {
		return cause{}, false
	}
	return cause{reason: def.Start.Reason, serial: def.Start.Serial}, true
}

// unasked is the cause when there is no token, but a count of the manager's:
// it grows at automatic restarts only, and is thrown away at a start by hand.
func unasked(last Record, nRestarts uint32) cause {
	c := cause{reason: manual, serial: last.Serial, nRestarts: nRestarts}
	if nRestarts > last.NRestarts {
		c.reason = crash
	}
	return c
}

// unknown is the cause when there is no token, and the manager does not answer.
func unknown(last Record) cause {
	return cause{reason: crash, serial: last.Serial, nRestarts: last.NRestarts}
}

// plan is what a gate does about a start: it gives up, or starts the command at
// due, a reading of CLOCK_BOOTTIME.
type plan struct {
	cause
	giveUp bool
	due    time.Duration
	state  Record // what the next records carry on
}

// decide applies the restart policy to a start, at the moment now. The delay
// counts from the end of the run before, so that what systemd and the gate take
// to get here is part of it.
func decide(def Definition, last Record, c cause, now time.Duration) plan {
	p := plan{cause: c, due: now, state: last}
	p.state.Serial, p.state.NRestarts = c.serial, c.nRestarts
	if c.reason != crash && c.reason != memory || last.Boot > now { // written before another boot
		p.state.History = restart.History{}
		return p
	}
	end, ran := lastRun(last, now)
	decision, history := restart.Decide(def.Spec.Restart, last.History, end, ran)
	p.giveUp, p.due, p.state.History = decision.GiveUp, later(end, decision.Delay), history
	return p
}

// lastRun is when a run ended, or a start failed, and how long it lasted. A
// gate that was killed while it waited has run nothing, and its end is not
// known.
func lastRun(last Record, now time.Duration) (end, ran time.Duration) {
	switch last.Kind {
	case Exited:
		return min(last.Boot, now), last.Ran
	case Failed:
		return min(last.Boot, now), 0
	}
	return now, 0
}

// later adds a delay, which may be the longest there is.
func later(t, delay time.Duration) time.Duration {
	if sum := t + delay; sum >= t {
		return sum
	}
	return 1<<63 - 1
}

// begun counts a start, as soon as it is tried.
func (r Record) begun(reason string) Record {
	switch reason {
	case crash:
		r.Restarts++
	case memory:
		r.MemoryRestarts++
	}
	r.Reason = reason
	return r
}
