package benchsystemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/runner"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// patience is how long anything may take; only what is broken takes that long.
const patience = time.Minute

// bench is a runner, and a plain unit beside it of the same command: one that
// tells when it is executed, and waits.
type bench struct {
	*testing.B
	ctx    context.Context
	bus    *systemd.Bus
	runner *runner.Systemd
	began  *os.File // a line for each command executed
	dir    string
}

const plainUnit, plainScope = "plain.service", "plain.scope"

func newBench(b *testing.B) *bench {
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	bus, err := systemd.Dial(ctx, systemd.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bus.Close)
	dir, err := os.MkdirTemp("/run", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	t := &bench{B: b, ctx: ctx, bus: bus, dir: dir, began: fifo(b, filepath.Join(dir, "began"))}
	gates := filepath.Join(dir, "exec")
	t.runner = runner.NewSystemd(runner.SystemdOptions{
		Bus: bus, Application: "bench", Gates: gate.Dir(gates), Journal: runner.NewJournal(systemd.OpenJournal()),
		Host: unitgen.Host{Version: bus.Version(), Program: program, Gates: gates},
	})
	return t
}

// fifo is a pipe with a name, into which everybody may write.
func fifo(b *testing.B, path string) *os.File {
	if err := unix.Mkfifo(path, 0o666); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

func (t *bench) command() string {
	return "echo > " + filepath.Join(t.dir, "began") + "; exec sleep infinity"
}

// executed waits until the command says that it is executed.
func (t *bench) executed() {
	t.began.SetReadDeadline(time.Now().Add(patience))
	if _, err := t.began.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func (t *bench) must(err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// process is one of the runner, not started yet; it is stopped in the end.
func (t *bench) process(policy config.Policy) runner.Process {
	spec := config.Spec{
		Application: "bench", Process: string(policy), Instance: string(policy), Policy: policy, Release: "v1", Generation: 1,
		Command: t.command(), Dir: "/", User: "app", OutputLines: 50,
		Stop:    config.Stop{Signal: syscall.SIGTERM, Grace: 10 * time.Second},
		Restart: config.Restart{Max: config.Unlimited, Factor: 1},
	}
	p := t.runner.New(spec, func(runner.Event) {})
	t.Cleanup(func() { p.Stop(context.Background()) })
	return p
}

// startTimed is from the call until the command is executed. When it returns,
// the start is over.
func (t *bench) startTimed(start func() error) time.Duration {
	done := make(chan error, 1)
	took := timed(func() {
		go func() { done <- start() }()
		t.executed()
	})
	t.must(<-done)
	return took
}

func (t *bench) start(p runner.Process) time.Duration {
	return t.startTimed(func() error { return p.Start(t.ctx, runner.Deploy) })
}

func (t *bench) stop(p runner.Process) time.Duration {
	return timed(func() { t.must(p.Stop(t.ctx)) })
}

// startPlain starts the plain unit.
func (t *bench) startPlain() time.Duration {
	argv := []string{"/bin/sh", "-c", t.command()}
	return t.startTimed(func() error {
		return t.bus.StartTransient(t.ctx, plainUnit, []systemd.Property{
			{Name: "Type", Value: "exec"}, {Name: "User", Value: "app"},
			{Name: "ExecStart", Value: unitgen.ExecCommands{{Path: argv[0], Argv: argv}}},
			{Name: "Restart", Value: "always"}, {Name: "RestartUSec", Value: uint64(0)}, {Name: "StartLimitIntervalUSec", Value: uint64(0)},
			{Name: "CollectMode", Value: "inactive-or-failed"},
		})
	})
}

func (t *bench) stopPlain(unit string) time.Duration {
	return timed(func() { t.must(t.bus.Stop(t.ctx, unit)) })
}

// startPlainScope starts a child and moves it into a scope.
func (t *bench) startPlainScope() (time.Duration, *exec.Cmd) {
	cmd := exec.Command("/bin/sh", "-c", t.command())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}, Setsid: true}
	return timed(func() {
		t.must(cmd.Start())
		t.must(t.bus.StartTransient(t.ctx, plainScope, []systemd.Property{
			{Name: "PIDs", Value: []uint32{uint32(cmd.Process.Pid)}}, {Name: "CollectMode", Value: "inactive-or-failed"},
		}))
		t.executed()
	}), cmd
}

func BenchmarkStartUnit(b *testing.B) {
	t := newBench(b)
	p := t.process(config.Companion)
	compare(b, func() time.Duration {
		defer t.stop(p)
		return t.start(p)
	}, func() time.Duration {
		defer t.stopPlain(plainUnit)
		return t.startPlain()
	})
}

func BenchmarkStopUnit(b *testing.B) {
	t := newBench(b)
	p := t.process(config.Companion)
	compare(b, func() time.Duration {
		t.start(p)
		return t.stop(p)
	}, func() time.Duration {
		t.startPlain()
		return t.stopPlain(plainUnit)
	})
}

func BenchmarkStartScope(b *testing.B) {
	t := newBench(b)
	p := t.process(config.Proxied)
	compare(b, func() time.Duration {
		defer t.stop(p)
		return t.start(p)
	}, func() time.Duration {
		took, cmd := t.startPlainScope()
		t.stopPlain(plainScope)
		cmd.Wait()
		return took
	})
}

func BenchmarkStopScope(b *testing.B) {
	t := newBench(b)
	p := t.process(config.Proxied)
	compare(b, func() time.Duration {
		t.start(p)
		return t.stop(p)
	}, func() time.Duration {
		_, cmd := t.startPlainScope()
		defer cmd.Wait()
		return t.stopPlain(plainScope)
	})
}

func BenchmarkCrash(b *testing.B) {
	t := newBench(b)
	p := t.process(config.Companion)
	t.start(p)
	t.startPlain()
	b.Cleanup(func() { t.bus.Stop(context.Background(), plainUnit) })
	crash := func(pid int) time.Duration {
		return timed(func() {
			t.must(syscall.Kill(pid, syscall.SIGKILL))
			t.executed()
		})
	}
	last := 0
	compare(b, func() time.Duration {
		last = t.another(p, last)
		return crash(last)
	}, func() time.Duration {
		state, err := t.bus.Unit(t.ctx, plainUnit)
		t.must(err)
		return crash(state.MainPID)
	})
}

// another waits until a process runs that is not the one of before.
func (t *bench) another(p runner.Process, before int) int {
	timeout := time.After(patience)
	for {
		s, changed := p.Watch()
		if s.State == runner.Running && s.PID != before && s.PID != 0 {
			return s.PID
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatal(fmt.Errorf("the process does not run again: %+v", s))
		}
	}
}
