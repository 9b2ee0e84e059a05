package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/config"
)

// fake is an instance without processes, for rules about time. Its command and
// one child of it are the members.
type fake struct {
	made   *fakes
	pid    int
	exited chan struct{}
	gone   chan struct{}
	once   sync.Once
	exit   Exit
}

// exitNow ends the command, and with it the members unless some live on.
func (f *fake) exitNow(e Exit) {
	f.once.Do(func() {
		f.exit = e
		if !f.made.leaves {
			close(f.gone)
		}
		close(f.exited)
	})
}

func (f *fake) PID() int                { return f.pid }
func (f *fake) Ref() Ref                { return Ref{PID: f.pid} }
func (f *fake) Exited() <-chan struct{} { return f.exited }
func (f *fake) Exit() Exit              { return f.exit }
func (f *fake) Empty() bool             { return closed(f.gone) }
func (f *fake) Left() []string          { return []string{"process 7 (stuck)"} }
func (f *fake) Members() []int          { return []int{f.pid} }
func (f *fake) Cgroups() []uint64       { return nil }
func (f *fake) Release()                { f.made.note("release") }

func (f *fake) Memory() (int64, []Child, error) {
	f.made.mu.Lock()
	defer f.made.mu.Unlock()
	return f.made.uses, []Child{{PID: f.pid, Command: "fake", RSSBytes: f.made.uses}}, f.made.unmeasured
}

func (f *fake) Signal(s syscall.Signal) {
	f.made.note(signalName(s))
	if f.made.onSignal != nil {
		f.made.onSignal(f)
	}
}

func (f *fake) Gone(ctx context.Context) error {
	select {
	case <-f.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fake) Kill(ctx context.Context) error {
	f.made.note("SIGKILL")
	if f.made.unkillable {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	f.exitNow(Exit{Signal: syscall.SIGKILL})
	if !closed(f.gone) {
		close(f.gone)
	}
	return nil
}

func (f *fake) Hook(ctx context.Context, _ config.Spec, command string) (Exit, error) {
	f.made.note(command)
	takes, err := time.ParseDuration(command)
	if err != nil {
		return Exit{}, errors.New("no such hook")
	}
	select {
	case <-time.After(takes):
		return Exit{}, nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// fakes launches fakes and writes down what happens, with the seconds since
// the beginning.
type fakes struct {
	*task
	began time.Time

	lives      time.Duration // of each instance; 0 is until it is signalled
	leaves     bool          // something lives on after the command
	unkillable bool
	onSignal   func(*fake)

	mu         sync.Mutex
	uses       int64 // memory, of the newest instance
	unmeasured error // of every measurement
	fails      error // of every launch
	notes      []string
	made       []*fake
}

// inBubble runs a test of rules; the process restarts at once for ever unless
// change says otherwise.
func inBubble(t *testing.T, test func(*testing.T, *fakes), change ...func(*config.Spec)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		spec := config.Spec{
			Instance: "w",
			Stop:     config.Stop{Signal: syscall.SIGTERM, Grace: 10 * time.Second},
			Restart:  config.Restart{Max: config.Unlimited, Factor: 1},
		}
		for _, c := range change {
			c(&spec)
		}
		f := &fakes{began: time.Now()}
		f.onSignal = func(i *fake) { i.exitNow(Exit{Signal: syscall.SIGTERM}) }
		f.task = newTask(spec, func(e Event) { f.note(describe(e)) }, newRing(1), f.launch)
		test(t, f)
		f.leaves, f.unkillable = false, false
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := f.Stop(ctx); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
}

func describe(e Event) string {
	switch e.Message {
	case "process started":
		return fmt.Sprint("started ", e.Data["reason"])
	case "process exited":
		return "exited"
	case "process restart failed":
		return "restart failed"
	case "memory limit exceeded":
		return fmt.Sprintf("limit %d exceeded: %d", e.Data["limitBytes"], e.Data["rssBytes"])
	case "memory warning":
		return fmt.Sprintf("warning %d: %d", e.Data["warnBytes"], e.Data["rssBytes"])
	case "process stop timed out; sending SIGKILL":
		return "timed out"
	}
	return e.Message
}

func (f *fakes) launch(config.Spec, func(Ref) error) (instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return nil, f.fails
	}
	i := &fake{made: f, pid: 100 + len(f.made), exited: make(chan struct{}), gone: make(chan struct{})}
	f.made = append(f.made, i)
	if f.lives > 0 {
		time.AfterFunc(f.lives, func() { i.exitNow(Exit{Code: 1}) })
	}
	return i, nil
}

func (f *fakes) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = err
}

// use sets how much memory is used from now on.
func (f *fakes) use(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uses, f.unmeasured = bytes, nil
}

func (f *fakes) newest() *fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made[len(f.made)-1]
}

func (f *fakes) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, fmt.Sprintf("%.1f %s", time.Since(f.began).Seconds(), what))
}

// happened compares what was written down, and forgets it.
func (f *fakes) happened(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if fmt.Sprintf("%q", f.notes) != fmt.Sprintf("%q", want) {
		t.Errorf("happened\n%q, want\n%q", f.notes, want)
	}
	f.notes = nil
}
