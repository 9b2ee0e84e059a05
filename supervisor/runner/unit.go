package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// unit is a process that systemd keeps running, as a transient service whose
// command stands behind the exec gate. What happens to it is read from the
// records of the gate and the properties of the unit, which a signal of the bus
// only tells to look at again.
type unit struct {
	r       *Systemd
	name    string
	file    *fileBook
	observe func(Event)
	output  *journalOutput

	changing chan struct{} // a token: held by the one start or stop under way

	looking sync.Mutex // held while it is looked and told; guards what follows
	past    past
	news    []Event // to be told when the status is published
	told    uint64  // number of the newest record told
	begun   uint64  // number of the newest record before this daemon's last start
	watch   func()  // ends the watching, nil while nothing is watched

	measured  int    // the pid whose memory is measured, 0 for none
	unmeasure func() // ends that

	mu      sync.Mutex // guards what follows
	spec    config.Spec
	stops   int                     // how often Stop was called
	cancel  context.CancelCauseFunc // ends the wait of the start under way
	hurry   context.CancelFunc      // brings SIGKILL into the stop under way
	base    Status                  // counters of the time before the newest definition file
	serial  int                     // of the newest start token
	loaded  bool                    // a unit of ours may exist
	ref     Ref                     // of what runs now
	status  Status
	changed chan struct{}
}

// unitWait bounds a question to the service manager, which answers nobody while
// it reloads, and a job that starts nothing.
const unitWait = 60 * time.Second

func (s *Systemd) newUnit(def gate.Definition, observe func(Event)) *unit {
	u := &unit{
		r: s, name: unitgen.ServiceName(def.Spec), file: newFileBook(s.gates, def), observe: observe,
		output: newJournalOutput(s.opt.Journal, def.Born, def.Spec), changing: make(chan struct{}, 1),
		spec: def.Spec, ref: Ref{ID: def.ID, Unit: unitgen.ServiceName(def.Spec)}, status: Status{State: Stopped}, changed: make(chan struct{}),
	}
	return u
}

// Start makes the unit and waits until the gate has become the command.
func (u *unit) Start(ctx context.Context, reason Reason) error {
	stops := u.stopCount()
	if err := u.take(ctx); err != nil {
		return err
	}
	if u.goesOn() {
		u.give()
		return nil
	}
	return u.renew(ctx, stops, reason)
}

// Restart is Stop and Start as one step.
func (u *unit) Restart(ctx context.Context, reason Reason) error {
	stops := u.stopCount()
	if err := u.take(ctx); err != nil {
		return err
	}
	return u.renew(ctx, stops, reason)
}

func (u *unit) stopCount() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stops
}

// take waits until no other start or stop is under way; give ends ours.
func (u *unit) take(ctx context.Context) error {
	select {
	case u.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (u *unit) give() { <-u.changing }

// renew ends what there is and begins anew, unless a Stop was called meanwhile.
// It has the token and gives it back, also when the caller leaves before the
// start is over: then a Stop ends it.
func (u *unit) renew(ctx context.Context, stops int, reason Reason) error {
	if err := u.end(ctx); err != nil {
		u.give()
		return err
	}
	begin, err := u.beginning(ctx, stops)
	if err != nil {
		u.give()
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer u.give()
		done <- begin(reason)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// beginning is a begin that a Stop cancels, from this moment on.
func (u *unit) beginning(ctx context.Context, stops int) (func(Reason) error, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stops != stops {
		return nil, ErrStopped
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	u.cancel = cancel
	return func(reason Reason) error {
		defer func() {
			u.mu.Lock()
			u.cancel = nil
			u.mu.Unlock()
			cancel(nil)
		}()
		return u.begin(ctx, reason)
	}, nil
}

// goesOn reports whether the command runs or is being started.
func (u *unit) goesOn() bool {
	st, _ := u.Watch()
	return st.State == Running || st.State == Starting
}

// begin makes a fresh unit of the newest definition.
func (u *unit) begin(ctx context.Context, reason Reason) error {
	u.mu.Lock()
	u.serial++
	token, spec := gate.Token{Serial: u.serial, Reason: string(reason)}, u.spec
	u.loaded = true
	u.publishLocked(func(s *Status) {
		s.State, s.RetryAt, s.GaveUp, s.Err = Starting, time.Time{}, false, nil
	})
	u.mu.Unlock()
	if err := u.make(ctx, spec, token); err != nil {
		return u.startFailed(ctx, err)
	}
	u.look(ctx)
	return u.startError()
}

// make writes the definition and starts the unit; it returns when the command
// is executed.
func (u *unit) make(ctx context.Context, spec config.Spec, token gate.Token) error {
	def, err := u.file.start(func(d *gate.Definition) { d.Spec, d.Unit, d.Start = spec, u.name, token })
	if err != nil {
		return fmt.Errorf("write the definition: %w", err)
	}
	u.looking.Lock()
	u.begun = u.told
	u.looking.Unlock()
	u.follow()
	bus := u.r.opt.Bus
	err = u.r.start(ctx, unitgen.Service(spec, def.ID, u.r.opt.Host))
	if !errors.Is(err, systemd.ErrExists) {
		return err
	}
	state, err := bus.Unit(ctx, u.name)
	switch {
	case errors.Is(err, systemd.ErrNoUnit): // it has gone meanwhile
	case err != nil:
		return err
	case !u.r.made(state):
		return errTaken{u.name}
	default: // what a stop could not take away
		if err := u.unload(ctx); err != nil {
			return err
		}
	}
	return u.r.start(ctx, unitgen.Service(spec, def.ID, u.r.opt.Host))
}

// startFailed says why there is no command. When there is a unit, it goes on
// trying by the policy.
func (u *unit) startFailed(ctx context.Context, err error) error {
	if errors.As(err, &errTaken{}) {
		u.abandon(err)
		return err
	}
	var job *systemd.JobError
	if errors.As(err, &job) {
		u.look(ctx)
		if told := u.startError(); told != nil {
			return told
		}
	}
	u.publish(func(s *Status) { s.State, s.Err = Failed, err })
	if job == nil {
		_ = u.unload(context.WithoutCancel(ctx))
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// abandon forgets a unit that is somebody else's.
func (u *unit) abandon(err error) {
	u.unfollow()
	u.forget()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.loaded = false
	u.publishLocked(func(s *Status) { s.State, s.Err = Failed, err })
}

func (u *unit) startError() error {
	st, _ := u.Watch()
	return st.Err
}

// Update replaces the definition; the gate reads it at its next start.
func (u *unit) Update(spec config.Spec) error {
	u.mu.Lock()
	u.spec = spec
	u.mu.Unlock()
	u.output.begins(spec)
	return u.file.define(spec)
}

// Retire ends automatic restarts, one that is due as well.
func (u *unit) Retire() error {
	err := u.file.want(gate.Drain)
	if st, _ := u.Watch(); !st.RetryAt.IsZero() {
		ctx, cancel := context.WithTimeout(context.Background(), unitWait)
		defer cancel()
		err = errors.Join(err, u.r.opt.Bus.Stop(ctx, u.name))
		u.look(ctx)
	}
	return err
}

// Spec is the definition the next start uses.
func (u *unit) Spec() config.Spec {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.spec
}

// Ref names the process, also while nothing of it runs.
func (u *unit) Ref() Ref {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ref
}

// Watch returns the status and the channel that its next change closes.
func (u *unit) Watch() (Status, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status, u.changed
}

// Tail is the newest lines of output over all instances.
func (u *unit) Tail(ctx context.Context, w Window) ([]Line, error) { return u.output.tail(ctx, w) }

func (u *unit) written() output { return u.output }

// Listens looks the address up among the sockets of the unit's processes.
func (u *unit) Listens(addr netip.AddrPort) (Listener, error) {
	return listener(addr, func() ([]int, []uint64) {
		group := u.group()
		return pidsOf(group), group.ids()
	})
}

// group is the cgroup of the unit.
func (u *unit) group() cgroup {
	ctx, cancel := context.WithTimeout(context.Background(), unitWait)
	defer cancel()
	state, err := u.read(ctx)
	if err != nil || state.ControlGroup == "" {
		return cgroup{}
	}
	return cgroup{systemd.CgroupPath(state.ControlGroup)}
}

func (u *unit) publish(change func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.publishLocked(change)
}

func (u *unit) publishLocked(change func(*Status)) {
	change(&u.status)
	close(u.changed)
	u.changed = make(chan struct{})
}

// event is something that happened to the instance that a record is about.
func (u *unit) event(about gate.Record, at time.Time, message string, data map[string]any) Event {
	spec := u.Spec()
	if about.Release != "" {
		spec.Release, spec.Generation = about.Release, about.Generation
	}
	data["id"], data["unit"] = spec.Instance, u.name
	return Event{At: at, Spec: spec, Message: message, Data: data}
}
