package gate

import (
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/restart"
)

// Kind is what a Record tells.
type Kind string

// The kinds.
const (
	Waiting Kind = "waiting" // the gate waits until Until, then starts
	Started Kind = "started" // the command is executed
	Failed  Kind = "failed"  // the command could not be executed: Error
	Exited  Kind = "exited"  // the command ended: Code or Signal
	GaveUp  Kind = "gave up" // the restart budget is used up
	Ended   Kind = "ended"   // started no more, since Want is not Run
)

// Record is one thing that happened to a process: a line of the file ID.log in
// a Dir. Each carries the whole state after it, so that the last one is enough:
// the fields from PID to Ran are those of the newest instance until the next
// one is started. PID 0 means that there was none.
type Record struct {
	Seq  uint64        `json:"seq"` // from 1
	Kind Kind          `json:"kind"`
	At   time.Time     `json:"at"`
	Boot time.Duration `json:"boot"` // CLOCK_BOOTTIME at At

	Release    string `json:"release"` // of the definition it happened to
	Generation int    `json:"generation"`

	PID        int           `json:"pid,omitempty"`
	StartTime  uint64        `json:"startTime,omitempty"` // field 22 of /proc/PID/stat
	Unit       string        `json:"unit,omitempty"`
	Invocation string        `json:"invocation,omitempty"`
	Reason     string        `json:"reason,omitempty"` // of the newest start: "deploy", "crash", "manual", "memory"
	Code       int           `json:"code,omitempty"`
	Signal     int           `json:"signal,omitempty"`
	Result     string        `json:"result,omitempty"` // what systemd says about the end: "oom-kill", "timeout", …
	Unseen     bool          `json:"unseen,omitempty"` // ended while no one saw how
	Ran        time.Duration `json:"ran,omitempty"`    // how long, once it has ended

	// OOMKills is how many processes the kernel had killed for their memory before
	// the newest start.
	OOMKills kills `json:"oomKills,omitzero"`

	Error string    `json:"error,omitempty"` // of the newest start, when it failed
	Until time.Time `json:"until,omitzero"`
	Then  string    `json:"then,omitempty"` // reason of the start that is waited for

	Restarts       int             `json:"restarts"` // after crashes, tried or done, over the process's life
	MemoryRestarts int             `json:"memoryRestarts,omitempty"`
	History        restart.History `json:"history"` // in CLOCK_BOOTTIME
	Serial         int             `json:"serial"`  // the newest Token seen
	NRestarts      uint32          `json:"nRestarts"`
}

// Next is a record of something that happens now, with the state that r left.
func (r Record) Next(kind Kind) Record {
	r.Seq, r.Kind, r.Until, r.Then = 0, kind, time.Time{}, ""
	r.At, r.Boot = time.Now(), Boottime()
	return r
}

// of notes the definition that something happens to.
func (r Record) of(spec config.Spec) Record {
	r.Release, r.Generation = spec.Release, spec.Generation
	return r
}

// exit is how an instance ended.
type exit struct {
	code, signal int
	result       string
	unseen       bool
}

// ended is the record of the end of the instance that r started.
func (r Record) ended(e exit) Record {
	next := r.Next(Exited)
	next.Code, next.Signal, next.Result, next.Unseen = e.code, e.signal, e.result, e.unseen
	next.Ran = max(0, next.Boot-r.Boot)
	return next
}

// backdated moves a record to an earlier moment, but not before the one it
// follows.
func (r Record) backdated(boot time.Duration) Record {
	early := min(r.Boot-boot, r.Ran)
	if early > 0 {
		r.At, r.Boot, r.Ran = r.At.Add(-early), r.Boot-early, r.Ran-early
	}
	return r
}

// Boottime is the time since the machine's boot, suspends included: a clock
// that nobody sets.
func Boottime() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // cannot fail with a valid clock
	return time.Duration(now.Nano())
}
