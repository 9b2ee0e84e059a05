// Package runner keeps processes running: it starts a rendered definition,
// restarts it by its policy, stops it with its hooks and grace, and finds it
// again after a restart of the daemon.
//
// What it hands out is a supervised process, not a single execution, so that a
// systemd unit with Restart=always and a child with a restart task look alike
// from above.
package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

// ErrGone is what Adopt answers when nothing is left of a process: it does not
// run, no restart is due, and it has not given up.
var ErrGone = errors.New("process is gone")

// A Runner makes supervised processes. Its methods may be called concurrently.
type Runner interface {
	// Kind is "direct" or "systemd".
	Kind() string
	// New prepares a process; nothing runs before its Start. observe is told
	// what happens to the process, in order, from one goroutine at a time; Watch
	// and Ref know it by then. It must not block and must not call back into the
	// process.
	New(spec config.Spec, observe func(Event)) Process
	// Adopt takes back a process that an earlier daemon started: one that runs,
	// waits for its restart or has given up. The budget goes on; spec is for the
	// next start. What happened meanwhile is told to observe first, before Adopt
	// returns. The answer is ErrGone when nothing is left of it; any other error
	// leaves it as it is.
	Adopt(ctx context.Context, ref Ref, spec config.Spec, observe func(Event)) (Process, error)
	// Left is what earlier daemons of this application started and what is still
	// there, adopted or not: running, waiting or given up. A runner whose
	// processes end with the daemon has nothing.
	Left(ctx context.Context) ([]Left, error)
	// Discard ends what Left listed, by its own stop settings. It is not for
	// strangers.
	Discard(ctx context.Context, left Left) error
	// Follow returns a Follower of processes that this runner has made. It tells
	// each line once, the lines of one process in order, and may tell those of
	// several at once.
	Follow(tell func(Process, Line)) Follower
}

// A Follower tells the output of processes as they write it. Its methods are for
// one goroutine.
type Follower interface {
	// Set says whose output is told from now on: of a process that is new, first
	// what its Tail answers. After an error nothing may be told any more.
	Set(ctx context.Context, processes []Process, w Window) error
	// Close ends it; when it returns, nothing is told any more.
	Close()
}

// Left is a process, or a unit, that an earlier daemon left behind.
type Left struct {
	Ref      Ref
	Spec     config.Spec // what it was started from; zero for a stranger
	Unit     string      // its name, for people
	Retired  bool        // it is not started again by itself: its release drains
	Stranger bool        // no definition of ours belongs to it: it is to be left alone
}

// A Process is one rendered definition kept running, with all descendants of
// whatever instance of it runs now. Its methods may be called concurrently;
// one stop or start of it happens at a time, and later callers join it.
type Process interface {
	// Spec is the definition the next start uses.
	Spec() config.Spec
	// Ref is what a state file keeps to find the running instance again.
	Ref() Ref
	// Start starts the process; it returns when the command was executed, or
	// with the reason why it could not be. From then on the restart policy
	// holds, after a failed start too, until Stop. Starting a running process
	// does nothing. The restart budget is fresh. When it returns, Watch knows the
	// outcome. When ctx ends first, the start goes on, and Stop ends it.
	Start(ctx context.Context, reason Reason) error
	// Restart is Stop and Start with a fresh budget, as one step: a Stop that
	// is called meanwhile wins, and nothing runs after it.
	Restart(ctx context.Context, reason Reason) error
	// Stop ends the process and all its descendants: hooks, signal, grace,
	// SIGKILL. When ctx ends first, SIGKILL follows at once. It returns when
	// nothing is left, or says what is; calling it again is harmless. Only after
	// a Stop does a runner hold nothing of the process, so whoever forgets one,
	// also one that failed, stops it before.
	Stop(ctx context.Context) error
	// Update gives the definition that the next start, and the next stop, use.
	// The running instance is not touched. It may write a file; after an error
	// the next start that this daemon makes uses spec all the same.
	Update(spec config.Spec) error
	// Retire ends automatic restarts; the running instance goes on. After an
	// error it holds only as long as this daemon lives.
	Retire() error
	// Watch returns the state of things and a channel that is closed when it
	// has changed. New figures of memory alone do not close it.
	Watch() (Status, <-chan struct{})
	// Tail is the newest lines of output over all instances, oldest first.
	Tail(ctx context.Context, w Window) ([]Line, error)
	// Listens says who accepts connections on a TCP address: this process (or
	// a descendant), or somebody else.
	Listens(addr netip.AddrPort) (Listener, error)
}

// Ref names one running process, never another one by chance. It holds neither
// command nor environment.
type Ref struct {
	ID         string `json:"id,omitempty"` // of its definition; the same over all instances
	Unit       string `json:"unit,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	PID        int    `json:"pid,omitempty"`
	StartTime  uint64 `json:"startTime,omitempty"` // field 22 of /proc/PID/stat
	BootID     string `json:"bootId,omitempty"`
}

// State is the state of a supervised process, in the words of `status`.
type State string

// The states of a process.
const (
	Starting State = "starting" // being started for the first time
	Running  State = "running"
	Stopping State = "stopping" // a stop was asked for and is under way
	Stopped  State = "stopped"  // ended as asked, or never started
	Failed   State = "failed"   // ended by itself or could not be started
)

// Reason is why an instance was started.
type Reason string

// The reasons of a start.
const (
	Deploy Reason = "deploy"
	Crash  Reason = "crash" // automatic restart
	Manual Reason = "manual"
	Memory Reason = "memory"
)

// Status is a supervised process at one moment.
type Status struct {
	State     State
	PID       int       // 0 when nothing runs
	StartedAt time.Time // of the last instance, and its identity: fixed, also over Adopt; zero when there was none
	Reason    Reason    // of the last start; "" when there was none
	Exit      *Exit     // of the last instance, nil while one runs or none did
	Err       error     // why the last start failed, nil when it did not

	Restarts int       // automatic restarts, tried or done, over the process's life
	RetryAt  time.Time // when the next automatic restart is or was due, until it runs or fails; zero when none will come
	GaveUp   bool      // the restart budget is used up

	// StartedAt and RetryAt on CLOCK_BOOTTIME, which nobody sets; 0 when not known.
	StartedBoot, RetryBoot time.Duration

	MemoryRestarts      int // restarts for memory, tried or done, over the process's life
	LastMemoryRestartAt time.Time
	RSSBytes            int64   // as measured last; 0 without memory supervision
	Children            []Child // those that were measured
}

// Child is one member of a process as memory supervision saw it.
type Child struct {
	PID      int    `json:"pid"`
	Command  string `json:"command"`
	RSSBytes int64  `json:"rssBytes,omitempty"`
}

// Exit is how an instance ended. Signal 0 means that it exited with Code;
// Unknown means that it ended while no one was there to see how.
type Exit struct {
	Code    int
	Signal  syscall.Signal
	Unknown bool
	OOM     bool // the kernel killed it, or a part of it, for its memory
}

// String says it in words: "exited with status 3", "killed by SIGTERM".
func (e Exit) String() string {
	switch {
	case e.OOM:
		return "killed by the kernel for its memory (oom-kill)"
	case e.Unknown:
		return "ended, how is not known"
	case e.Signal != 0:
		return "killed by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exited with status %d", e.Code)
}

// Event is something that happened to a process, with the definition the
// instance it happened to was started from.
type Event struct {
	At      time.Time // when it happened; before an adoption, perhaps long ago
	Spec    config.Spec
	Message string         // as listed in docs/logging.md
	Data    map[string]any // without processId and releaseId, which Spec has
}

// Window says which lines of output are meant.
type Window struct {
	// Lines is how many at most. 0 is as many as the process's outputLines; with
	// Since it is all that are kept.
	Lines int
	// Since leaves out older lines.
	Since time.Time
	// Settled asks to wait until everything is there that was written before, as
	// far as that can be had in a moment.
	Settled bool
}

// Line is one line of output.
type Line struct {
	At     time.Time
	Stream string // "stdout" or "stderr"
	Text   string // valid UTF-8, without the line end
}

// Listener is the answer of Process.Listens.
type Listener int

// Who listens on an address.
const (
	Nobody Listener = iota
	Own
	Foreign
	Undetermined // someone listens, but who cannot be found out here
)
