package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// fakeHost is a machine on which nothing runs: its processes do what a test
// says, and it keeps a diary of what the supervisors asked of them. Processes
// outlive the daemon that started them.
type fakeHost struct {
	mu         sync.Mutex
	diary      []string
	processes  []*fakeProcess
	behave     map[string]behaviour // by "instance" or "instance@release"
	strangers  []string             // units without a definition
	leftErr    error                // of Left
	violations []string             // what must never happen
}

// fakeRunner is the hand of one daemon on a fakeHost.
type fakeRunner struct {
	*fakeHost
	daemon *fakeDaemon
}

// fakeDaemon is one execution of the daemon. After it was killed nothing that it
// does has an effect.
type fakeDaemon struct {
	mu     sync.Mutex
	steps  int           // how many effects it had
	last   int           // after how many of them it is killed; -1 is never
	killed chan struct{} // closed when it is
}

var errKilled = errors.New("the daemon was killed")

func newFakeDaemon() *fakeDaemon { return &fakeDaemon{last: -1, killed: make(chan struct{})} }

// step is asked before each effect: an error means that it must have none.
func (d *fakeDaemon) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.steps == d.last {
		d.killLocked()
	}
	d.steps++
	if d.isDead() {
		return errKilled
	}
	return nil
}

func (d *fakeDaemon) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.killLocked()
}

func (d *fakeDaemon) killLocked() {
	if !d.isDead() {
		close(d.killed)
	}
}

func (d *fakeDaemon) isDead() bool {
	select {
	case <-d.killed:
		return true
	default:
		return false
	}
}

// behaviour is what a fake process does.
type behaviour struct {
	startErr error
	stopTime time.Duration // how long it takes to stop; cut short by the context
	stopErr  error
	stubborn bool // ends only when killed
	owner    runner.Listener
	defect   bool // Listens panics
	adoptErr error
}

func newFakeHost() *fakeHost { return &fakeHost{behave: map[string]behaviour{}} }

func (f *fakeRunner) Kind() string { return "fake" }

func (f *fakeRunner) New(spec config.Spec, observe func(runner.Event)) runner.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fakeProcess{
		f: f.fakeHost, id: fmt.Sprintf("id%d", len(f.processes)+1), age: uint64(len(f.processes)), spec: spec, observe: observe,
		changed: make(chan struct{}), status: runner.Status{State: runner.Stopped},
	}
	f.processes = append(f.processes, p)
	return &fakeHandle{p, f.daemon}
}

// Adopt takes back what has been started and not been stopped.
func (f *fakeRunner) Adopt(_ context.Context, ref runner.Ref, spec config.Spec, observe func(runner.Event)) (runner.Process, error) {
	if b := f.behaviourOf(spec); b.adoptErr != nil {
		return nil, b.adoptErr
	}
	for _, p := range f.defined() {
		if p.id == ref.ID {
			p.mu.Lock()
			p.spec, p.observe = spec, observe
			if p.status.State == runner.Stopping { // its last daemon did not see it end
				p.status.State = runner.Running
			}
			p.mu.Unlock()
			f.write("adopt %s", p.born.Instance+"@"+p.born.Release)
			return &fakeHandle{p, f.daemon}, nil
		}
	}
	return nil, runner.ErrGone
}

func (f *fakeRunner) Left(context.Context) ([]runner.Left, error) {
	if f.leftErr != nil {
		return nil, f.leftErr
	}
	var list []runner.Left
	for _, p := range f.defined() {
		left := runner.Left{Ref: p.Ref(), Spec: p.Spec(), Unit: "rollbridge-" + p.name()}
		p.mu.Lock()
		left.Retired = p.retired
		p.mu.Unlock()
		list = append(list, left)
	}
	for _, unit := range f.strangers {
		list = append(list, runner.Left{Unit: unit, Stranger: true})
	}
	return list, nil
}

func (f *fakeRunner) Discard(ctx context.Context, left runner.Left) error {
	for _, p := range f.defined() {
		if p.id == left.Ref.ID {
			return (&fakeHandle{p, f.daemon}).Stop(ctx)
		}
	}
	return runner.ErrGone
}

// defined is the processes that have been started and not been stopped.
func (f *fakeHost) defined() (list []*fakeProcess) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		p.mu.Lock()
		if p.defined {
			list = append(list, p)
		}
		p.mu.Unlock()
	}
	return list
}

// reboot ends everything that runs.
func (f *fakeHost) reboot() {
	for _, p := range f.defined() {
		p.mu.Lock()
		p.defined = false
		p.mu.Unlock()
		p.set(func(st *runner.Status) { *st = runner.Status{State: runner.Stopped} })
	}
}

// fakeHandle is a process as one daemon holds it.
type fakeHandle struct {
	*fakeProcess
	daemon *fakeDaemon
}

func (h *fakeHandle) Start(ctx context.Context, reason runner.Reason) error {
	if err := h.daemon.step(); err != nil {
		return err
	}
	return h.fakeProcess.Start(ctx, reason)
}

func (h *fakeHandle) Stop(ctx context.Context) error {
	if err := h.daemon.step(); err != nil {
		return err
	}
	if !h.fakeProcess.beginStop(ctx) {
		return nil
	}
	if err := h.daemon.step(); err != nil {
		return err
	}
	return h.fakeProcess.endStop()
}

func (h *fakeHandle) Restart(ctx context.Context, reason runner.Reason) error {
	if err := h.Stop(ctx); err != nil {
		return err
	}
	return h.Start(ctx, reason)
}

func (h *fakeHandle) Update(spec config.Spec) error {
	if err := h.daemon.step(); err != nil {
		return err
	}
	return h.fakeProcess.Update(spec)
}

func (h *fakeHandle) Retire() error {
	if err := h.daemon.step(); err != nil {
		return err
	}
	return h.fakeProcess.Retire()
}

// on says how an instance behaves, of one release when written "web@v2".
func (f *fakeHost) on(key string, b behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave[key] = b
}

func (f *fakeHost) behaviourOf(spec config.Spec) behaviour {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.behave[spec.Instance+"@"+spec.Release]; ok {
		return b
	}
	if b, ok := f.behave[spec.Instance]; ok {
		return b
	}
	return behaviour{owner: runner.Own}
}

func (f *fakeHost) write(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.diary = append(f.diary, fmt.Sprintf(format, args...))
}

// read returns the diary so far and begins a new page.
func (f *fakeHost) read() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	page := f.diary
	f.diary = nil
	return page
}

// running is the names of what runs, sorted.
func (f *fakeHost) running() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for _, p := range f.processes {
		if st, _ := p.Watch(); st.State == runner.Running || st.State == runner.Stopping {
			names = append(names, p.name())
		}
	}
	slices.Sort(names)
	return names
}

// find is the newest process of that name, "web@v1".
func (f *fakeHost) find(t *testing.T, name string) *fakeProcess {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range slices.Backward(f.processes) {
		if p.name() == name {
			return p
		}
	}
	t.Fatalf("there is no process %s", name)
	return nil
}

type fakeProcess struct {
	f   *fakeHost
	id  string
	age uint64 // younger ones have more

	mu      sync.Mutex
	observe func(runner.Event)
	defined bool // started, and not stopped since
	spec    config.Spec
	status  runner.Status
	changed chan struct{}
	retired bool
	lines   []runner.Line
	settled bool        // someone has waited for the lines
	born    config.Spec // of the running instance
}

func (p *fakeProcess) name() string {
	spec := p.Spec()
	return spec.Instance + "@" + spec.Release
}

func (p *fakeProcess) set(change func(*runner.Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *fakeProcess) Spec() config.Spec {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spec
}

func (p *fakeProcess) Ref() runner.Ref { return runner.Ref{ID: p.id, StartTime: p.age} }

func (p *fakeProcess) Start(_ context.Context, reason runner.Reason) error {
	name, b := p.name(), p.f.behaviourOf(p.Spec())
	if b.startErr != nil {
		p.f.write("cannot start %s", name)
		p.mu.Lock()
		p.born, p.defined = p.spec, true
		p.mu.Unlock()
		p.set(func(st *runner.Status) { *st = runner.Status{State: runner.Failed, Err: b.startErr, GaveUp: true} })
		return b.startErr
	}
	p.f.write("start %s", name)
	p.f.checkOnly(p)
	p.mu.Lock()
	p.born, p.defined = p.spec, true
	observe := p.observe
	p.mu.Unlock()
	p.set(func(st *runner.Status) {
		*st = runner.Status{State: runner.Running, PID: 1, StartedAt: time.Now(), Reason: reason, Restarts: st.Restarts}
	})
	observe(runner.Event{At: time.Now(), Spec: p.born, Message: "process started", Data: map[string]any{"id": p.born.Instance, "reason": reason}})
	return nil
}

// checkOnly notes when a process of which there must be one runs twice.
func (f *fakeHost) checkOnly(p *fakeProcess) {
	spec := p.Spec()
	if ofRelease(spec) {
		return
	}
	for _, q := range f.defined() {
		if q != p && sameRole(q.Spec(), spec) {
			f.mu.Lock()
			f.violations = append(f.violations, fmt.Sprintf("%s was started beside %s", p.name(), q.name()))
			f.mu.Unlock()
		}
	}
}

// beginStop asks the process to end and waits until it does; it reports false
// when nothing runs.
func (p *fakeProcess) beginStop(ctx context.Context) bool {
	if st, _ := p.Watch(); st.State == runner.Stopped {
		return false
	}
	name, b := p.name(), p.f.behaviourOf(p.Spec())
	p.f.write("stop %s", name)
	p.set(func(st *runner.Status) { st.State = runner.Stopping })
	if b.stubborn {
		<-ctx.Done()
		p.f.write("kill %s", name)
	} else if b.stopTime > 0 && !wait(ctx, b.stopTime) {
		p.f.write("kill %s", name)
	}
	return true
}

func (p *fakeProcess) endStop() error {
	if b := p.f.behaviourOf(p.Spec()); b.stopErr != nil {
		return b.stopErr
	}
	p.f.write("stopped %s", p.name())
	p.mu.Lock()
	p.defined = false
	p.mu.Unlock()
	p.set(func(st *runner.Status) {
		*st = runner.Status{State: runner.Stopped, Exit: &runner.Exit{Signal: syscall.SIGTERM}}
	})
	return nil
}

// exit makes the process end by itself; it is due for a restart unless it gave up.
func (p *fakeProcess) exit(code int, gaveUp bool) {
	p.set(func(st *runner.Status) {
		*st = runner.Status{State: runner.Failed, Exit: &runner.Exit{Code: code}, GaveUp: gaveUp, Restarts: st.Restarts + 1}
		if !gaveUp {
			st.RetryAt = time.Now().Add(time.Second)
		}
	})
}

// rise makes a process that ended run again.
func (p *fakeProcess) rise() {
	p.set(func(st *runner.Status) {
		*st = runner.Status{State: runner.Running, PID: 2, StartedAt: time.Now(), Reason: runner.Crash, Restarts: st.Restarts}
	})
}

func (p *fakeProcess) Update(spec config.Spec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spec = spec
	return nil
}

func (p *fakeProcess) Retire() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	return nil
}

func (p *fakeProcess) Watch() (runner.Status, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status, p.changed
}

func (p *fakeProcess) Tail(_ context.Context, w runner.Window) ([]runner.Line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = p.settled || w.Settled
	return newest(p.lines, w.Lines), nil
}

// fakeFollower tells what its processes have written when they are set.
type fakeFollower struct {
	tell func(runner.Process, runner.Line)
	seen map[runner.Process]bool
}

func (f *fakeRunner) Follow(tell func(runner.Process, runner.Line)) runner.Follower {
	return &fakeFollower{tell, map[runner.Process]bool{}}
}

func (f *fakeFollower) Set(ctx context.Context, processes []runner.Process, w runner.Window) error {
	for _, p := range processes {
		lines, err := p.Tail(ctx, w)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !f.seen[p] {
				f.tell(p, line)
			}
		}
		f.seen[p] = true
	}
	return nil
}

func (f *fakeFollower) Close() {}

func (p *fakeProcess) Listens(netip.AddrPort) (runner.Listener, error) {
	b := p.f.behaviourOf(p.Spec())
	if b.defect {
		panic("a defect")
	}
	return b.owner, nil
}

var errNoShell = errors.New("no shell")
