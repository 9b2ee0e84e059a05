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

// fakeRunner runs nothing: its processes do what a test says, and it keeps a
// diary of what the supervisor asked of them.
type fakeRunner struct {
	mu        sync.Mutex
	diary     []string
	processes []*fakeProcess
	behave    map[string]behaviour // by "instance" or "instance@release"
}

// behaviour is what a fake process does.
type behaviour struct {
	startErr error
	stopTime time.Duration // how long it takes to stop; cut short by the context
	stopErr  error
	stubborn bool // ends only when killed
	owner    runner.Listener
	defect   bool // Listens panics
}

func newFakeRunner() *fakeRunner { return &fakeRunner{behave: map[string]behaviour{}} }

func (f *fakeRunner) Kind() string { return "fake" }

func (f *fakeRunner) New(spec config.Spec, observe func(runner.Event)) runner.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fakeProcess{f: f, spec: spec, observe: observe, changed: make(chan struct{}), status: runner.Status{State: runner.Stopped}}
	f.processes = append(f.processes, p)
	return p
}

func (f *fakeRunner) Adopt(context.Context, runner.Ref, config.Spec, func(runner.Event)) (runner.Process, error) {
	return nil, runner.ErrGone
}

func (f *fakeRunner) Left(context.Context) ([]runner.Left, error) { return nil, nil }
func (f *fakeRunner) Discard(context.Context, runner.Left) error  { return runner.ErrGone }

// on says how an instance behaves, of one release when written "web@v2".
func (f *fakeRunner) on(key string, b behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave[key] = b
}

func (f *fakeRunner) behaviourOf(spec config.Spec) behaviour {
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

func (f *fakeRunner) write(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.diary = append(f.diary, fmt.Sprintf(format, args...))
}

// read returns the diary so far and begins a new page.
func (f *fakeRunner) read() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	page := f.diary
	f.diary = nil
	return page
}

// running is the names of what runs, sorted.
func (f *fakeRunner) running() []string {
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
func (f *fakeRunner) find(t *testing.T, name string) *fakeProcess {
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
	f       *fakeRunner
	observe func(runner.Event)

	mu      sync.Mutex
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

func (p *fakeProcess) Ref() runner.Ref { return runner.Ref{} }

func (p *fakeProcess) Start(_ context.Context, reason runner.Reason) error {
	name, b := p.name(), p.f.behaviourOf(p.Spec())
	if b.startErr != nil {
		p.f.write("cannot start %s", name)
		p.set(func(st *runner.Status) { *st = runner.Status{State: runner.Failed, Err: b.startErr, GaveUp: true} })
		return b.startErr
	}
	p.f.write("start %s", name)
	p.mu.Lock()
	p.born = p.spec
	p.mu.Unlock()
	p.set(func(st *runner.Status) {
		*st = runner.Status{State: runner.Running, PID: 1, StartedAt: time.Now(), Reason: reason, Restarts: st.Restarts}
	})
	p.observe(runner.Event{At: time.Now(), Spec: p.born, Message: "process started", Data: map[string]any{"id": p.born.Instance, "reason": reason}})
	return nil
}

func (p *fakeProcess) Restart(ctx context.Context, reason runner.Reason) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx, reason)
}

func (p *fakeProcess) Stop(ctx context.Context) error {
	if st, _ := p.Watch(); st.State == runner.Stopped {
		return nil
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
	if b.stopErr != nil {
		return b.stopErr
	}
	p.f.write("stopped %s", name)
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
