package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

const (
	// scopeWait bounds the making of a scope.
	scopeWait = 30 * time.Second
	// resultWait bounds what is said to systemd about a scope that has ended; the
	// restart waits for it.
	resultWait = 5 * time.Second
	// shimWait bounds what is left to do between that and the command.
	shimWait = 60 * time.Second
	// scopeTries is how many names are tried: earlier instances of the process
	// that are still being ended have theirs.
	scopeTries = 100
)

// scoped is a process that this daemon keeps running, in a scope of its own.
type scoped struct {
	*task
	r    *Systemd
	file *fileBook
}

func (s *Systemd) newScoped(def gate.Definition, observe func(Event)) *scoped {
	p := &scoped{r: s, file: newFileBook(s.gates, def)}
	p.task = newTask(def.Spec, observe, newJournalOutput(s.opt.Journal, def.Born, def.Spec), p.launch)
	p.task.book, p.task.clock = p.file, gate.Boottime
	return p
}

// Ref names the process, also while nothing of it runs.
func (p *scoped) Ref() Ref {
	ref := p.task.Ref()
	ref.ID = p.file.id()
	return ref
}

// launch forks the command behind a shim, which waits until it is in its scope:
// no descendant is ever outside of it.
func (p *scoped) launch(spec config.Spec, placed func(Ref) error) (instance, error) {
	shim, err := p.fork()
	if err != nil {
		return nil, err
	}
	unit, err := p.place(spec, shim)
	if err != nil {
		shim.abandon()
		return nil, err
	}
	began, _ := readStat(shim.pid) // cannot be missing: it is not reaped
	e := &execution{
		bus: p.r.opt.Bus, unit: unit, shell: shim.pid, fd: shim.fd, ours: true, exited: make(chan struct{}),
		cgroup: cgroupOf(shim.pid),
		ref:    Ref{ID: p.file.id(), Unit: unit, PID: shim.pid, StartTime: began.started, BootID: bootID()},
	}
	if err := placed(e.ref); err != nil {
		shim.abandon()
		e.forget()
		return nil, fmt.Errorf("keep a record: %w", err)
	}
	if err := shim.release(); err != nil {
		shim.abandon()
		e.forget()
		return nil, err
	}
	go e.wait()
	return e, nil
}

// fork starts the shim. Its definition is on disk before.
func (p *scoped) fork() (*shim, error) {
	if _, err := p.file.start(func(*gate.Definition) {}); err != nil {
		return nil, fmt.Errorf("write the definition: %w", err)
	}
	return forkShim(p.r.opt.Host.Program, p.file.id(), string(p.r.gates))
}

// place moves the shim into a new scope and returns its name.
func (p *scoped) place(spec config.Spec, s *shim) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), scopeWait)
	defer cancel()
	for range scopeTries {
		def, err := p.file.start(func(d *gate.Definition) {
			d.Instances++
			d.Unit = unitgen.ScopeName(spec, d.Instances)
		})
		if err != nil {
			return "", fmt.Errorf("write the definition: %w", err)
		}
		err = p.r.start(ctx, unitgen.Scope(spec, def.Instances, s.pid, p.r.opt.Host))
		if errors.Is(err, systemd.ErrExists) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("make scope %s: %w", def.Unit, err)
		}
		return def.Unit, nil
	}
	return "", errTaken{unitgen.ScopeName(spec, 1)}
}

// execution is one instance of a scoped process. The command may be a child of
// ours or, after an adoption, of nobody we know.
type execution struct {
	cgroup
	bus    *systemd.Bus
	unit   string
	shell  int
	fd     pidfd
	ours   bool // to be reaped
	ref    Ref
	exited chan struct{}
	exit   Exit // read after exited
}

// wait learns how the command ended. A child of ours stays a zombie until it is
// released, so that its number means nothing else.
func (e *execution) wait() {
	_ = e.fd.exited(context.Background())
	if e.ours {
		e.exit = peekExit(e.shell)
	} else {
		e.exit = e.fd.exit()
	}
	e.exit.OOM = e.oomKilled()
	close(e.exited)
}

// oomKilled reports whether the kernel has killed the command, or a part of the
// scope with which systemd then ended it, for its memory. The kernel counts
// before it kills. Where the cgroup is gone already, or has no memory
// controller, systemd knows: it looks before it removes one.
func (e *execution) oomKilled() bool {
	if kills, err := systemd.OOMKills(e.dir); err == nil {
		return kills > 0
	}
	if e.exit.Signal == 0 && !e.exit.Unknown {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), resultWait)
	defer cancel()
	state, err := e.bus.Unit(ctx, e.unit)
	return err == nil && state.Result == oomKill
}

// Release gives the number of the command back to the kernel, and lets go of the
// scope.
func (e *execution) Release() {
	if e.ours {
		reapChild(e.shell)
	}
	e.fd.close()
	e.forget()
}

// forget lets systemd forget the scope once it is empty. A scope that stays
// costs a name, until the daemon's connection ends; so nothing is to be said if
// it does.
func (e *execution) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), resultWait)
	defer cancel()
	_ = e.bus.Unref(ctx, e.unit)
}

func (e *execution) PID() int                       { return e.shell }
func (e *execution) Ref() Ref                       { return e.ref }
func (e *execution) Exited() <-chan struct{}        { return e.exited }
func (e *execution) Exit() Exit                     { return e.exit }
func (e *execution) Empty() bool                    { return isEmpty(e.cgroup) }
func (e *execution) Left() []string                 { return namesOf(e.cgroup) }
func (e *execution) Members() []int                 { return pidsOf(e.cgroup) }
func (e *execution) Cgroups() []uint64              { return e.ids() }
func (e *execution) Signal(sig syscall.Signal)      { e.signal(sig) }
func (e *execution) Gone(ctx context.Context) error { return awaitGone(ctx, e.cgroup) }
func (e *execution) Kill(ctx context.Context) error { return killAll(ctx, e.cgroup, func() {}) }

// Hook runs a lifecycle command in the scope.
func (e *execution) Hook(ctx context.Context, spec config.Spec, command string) (Exit, error) {
	return hookIn(ctx, e.cgroup, spec, e.shell, command)
}

// shim is a forked `rollbridge exec --scope`, blocked until it is released.
type shim struct {
	pid   int
	fd    pidfd
	goOn  *os.File // one byte lets it go on; its end makes it exit
	words *os.File // why it could not; its end says that it could
}

// forkShim starts a shim in a session of its own: pid, process group and
// session of the command are one number.
func forkShim(program, id, gates string) (*shim, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	wait, goOn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer wait.Close()
	words, say, err := os.Pipe()
	if err != nil {
		goOn.Close()
		return nil, err
	}
	defer say.Close()
	fd := -1
	pid, err := syscall.ForkExec(program, []string{program, "exec", "--scope", id}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{gate.DirVariable + "=" + gates},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), wait.Fd(), say.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &fd},
	})
	if err != nil {
		goOn.Close()
		words.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	if fd < 0 { // an old kernel
		if fd, err = unix.PidfdOpen(pid, 0); err != nil {
			goOn.Close()
			words.Close()
			reapChild(pid)
			return nil, err
		}
	}
	return &shim{pid: pid, fd: newPidfd(fd), goOn: goOn, words: words}, nil
}

// release lets the shim become the command; it returns when it has.
func (s *shim) release() error {
	defer s.words.Close()
	_, err := s.goOn.Write([]byte{1})
	s.goOn.Close()
	if err != nil {
		return fmt.Errorf("let the command start: %w", err)
	}
	_ = s.words.SetReadDeadline(time.Now().Add(shimWait))
	words, err := io.ReadAll(s.words)
	switch {
	case len(words) > 0:
		return errors.New(string(words))
	case err != nil:
		return fmt.Errorf("the command was not started within %s: %w", shimWait, err)
	}
	return nil
}

// abandon ends the shim, whose command was not started.
func (s *shim) abandon() {
	s.goOn.Close()
	s.words.Close()
	_ = s.fd.signal(unix.SIGKILL)
	reapChild(s.pid)
	s.fd.close()
}

func reapChild(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}
