package runner

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

// ErrStopped is what a Start or Restart answers that lost to a later Stop.
var ErrStopped = errors.New("a stop was asked for meanwhile")

// An instance is one execution of a definition, with all its descendants.
type instance interface {
	target
	Ref() Ref
	// Exit is how the command ended, once Exited is closed.
	Exit() Exit
	// Members are the pids of what runs.
	Members() []int
	// Cgroups are the ids of the cgroups that are the instance's alone.
	Cgroups() []uint64
	// Memory is what the members use, in bytes, and each of them.
	Memory() (bytes int64, children []Child, err error)
	// Release gives back what the instance holds; nothing else may be called
	// afterwards.
	Release()
}

// launcher starts an instance; it returns when the command was executed. A
// launcher that can be adopted from calls placed with the process before its
// command is executed, and does not go on when that fails.
type launcher func(spec config.Spec, placed func(Ref) error) (instance, error)

// task is the Process of a runner that restarts by itself. A life, one
// goroutine, owns what runs; callers ask it to end and read snapshots.
type task struct {
	launch  launcher
	book    logbook
	observe func(Event)
	output  output
	clock   func() time.Duration // of the restart history; never jumps
	retired chan struct{}

	telling sync.Mutex // held while observe runs

	mu      sync.Mutex // guards what follows
	spec    config.Spec
	stops   int         // how often Stop was called
	life    *life       // nil while nothing runs or is due
	last    *run        // the newest one, until nothing of it is left
	newest  gate.Record // the newest one in the book
	status  Status
	changed chan struct{}
}

func newTask(spec config.Spec, observe func(Event), output output, launch launcher) *task {
	born := time.Now()
	return &task{
		launch:  launch,
		book:    noBook{},
		observe: observe,
		output:  output,
		clock:   func() time.Duration { return time.Since(born) },
		retired: make(chan struct{}),
		spec:    spec,
		status:  Status{State: Stopped},
		changed: make(chan struct{}),
	}
}

// Start begins a life, unless there is one with something running in it.
func (t *task) Start(ctx context.Context, reason Reason) error {
	t.mu.Lock()
	if l := t.life; l != nil && l.up && !l.asked {
		attempt := l.attempt
		t.mu.Unlock()
		return attempt.wait(ctx)
	}
	return t.renewAndUnlock(ctx, reason, (*life).wait)
}

// Restart ends the life there is and begins a new one.
func (t *task) Restart(ctx context.Context, reason Reason) error {
	t.mu.Lock()
	return t.renewAndUnlock(ctx, reason, (*life).end)
}

// renewAndUnlock asks the life there is to end, awaits that and begins a new
// one, or joins whoever did so first. A caller whose context ends, or that
// loses to a Stop, leaves the process stopped.
func (t *task) renewAndUnlock(ctx context.Context, reason Reason, await func(*life, context.Context) error) error {
	stops, old := t.stops, t.life
	t.askLocked(old)
	t.mu.Unlock()
	if err := await(old, ctx); err != nil {
		return err
	}
	attempt, err := t.begin(ctx, stops, reason)
	if err != nil {
		return err
	}
	return attempt.wait(ctx)
}

// begin starts a life, or finds the one another caller has started.
func (t *task) begin(ctx context.Context, stops int, reason Reason) (*attempt, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stops != stops {
		return nil, ErrStopped
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if t.life != nil {
		return t.life.attempt, nil
	}
	t.life = newLife()
	t.publishLocked(func(s *Status) {
		s.State, s.RetryAt, s.GaveUp, s.Err = Starting, time.Time{}, false, nil
	})
	go t.keep(t.life, reason)
	return t.life.attempt, nil
}

// Stop ends the life there is, or what an earlier stop had to leave.
func (t *task) Stop(ctx context.Context) error {
	t.mu.Lock()
	t.stops++
	if t.life == nil && t.last != nil {
		t.life = newLife()
		go t.finish(t.life)
	}
	l := t.life
	t.askLocked(l)
	t.mu.Unlock()
	_ = t.book.want(gate.Stop) // only a later daemon would miss it, and it stops what it does not want
	if err := l.end(ctx); err != nil {
		return err
	}
	t.forget()
	return nil
}

// forget drops what is kept for a later daemon, unless a start came after.
func (t *task) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.life == nil {
		t.book.forget()
	}
}

// askLocked tells a life to end.
func (t *task) askLocked(l *life) {
	switch {
	case l == nil:
		t.publishLocked(func(s *Status) { s.State, s.RetryAt, s.GaveUp = Stopped, time.Time{}, false })
	case !l.asked:
		l.asked = true
		close(l.quit)
		t.publishLocked(func(s *Status) { s.State, s.RetryAt, s.GaveUp = Stopping, time.Time{}, false })
	}
}

// Retire ends automatic restarts, one that is due as well.
func (t *task) Retire() error {
	t.mu.Lock()
	if !closed(t.retired) {
		close(t.retired)
	}
	t.mu.Unlock()
	return t.book.want(gate.Drain)
}

// Update replaces the definition.
func (t *task) Update(spec config.Spec) error {
	t.mu.Lock()
	t.spec = spec
	t.mu.Unlock()
	return t.book.define(spec)
}

// Spec is the definition the next start uses.
func (t *task) Spec() config.Spec {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spec
}

// Ref names the running instance; it is empty when nothing runs.
func (t *task) Ref() Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status.PID == 0 || t.last == nil {
		return Ref{}
	}
	return t.last.Ref()
}

// Watch returns the status and the channel that its next change closes.
func (t *task) Watch() (Status, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status, t.changed
}

// Tail is the newest lines of output.
func (t *task) Tail(ctx context.Context, w Window) ([]Line, error) { return t.output.tail(ctx, w) }

func (t *task) written() output { return t.output }

// Listens looks the address up among the sockets of what runs now.
func (t *task) Listens(addr netip.AddrPort) (Listener, error) {
	return listener(addr, func() (pids []int, cgroups []uint64) {
		if r := t.lastRun(); r != nil {
			pids, cgroups = r.Members(), r.Cgroups()
		}
		return pids, cgroups
	})
}

func (t *task) publish(change func(*Status)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.publishLocked(change)
}

func (t *task) publishLocked(change func(*Status)) {
	change(&t.status)
	close(t.changed)
	t.changed = make(chan struct{})
}

// tell reports an event of the instance started from spec.
func (t *task) tell(spec config.Spec, message string, data map[string]any) {
	t.telling.Lock()
	defer t.telling.Unlock()
	data["id"] = spec.Instance
	if unit := t.book.unit(); unit != "" {
		data["unit"] = unit
	}
	t.observe(Event{At: time.Now(), Spec: spec, Message: message, Data: data})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
