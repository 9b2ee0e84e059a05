package main

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/proxy"
	"rollbridge/socket"
	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
)

// An unconfigured daemon stands in for that of an instance whose configuration
// cannot be used, while none is in force either. It serves the sockets that
// systemd has passed: requests are answered 503, and commands with what is wrong;
// clients that wait in the backlog would not be told. The first command that
// finds the file mended ends it, and systemd starts a daemon that uses it.
type unconfigured struct {
	file, instance string
	wrong          error
	usable         func() error // whether that is still so
	passed         *socket.Activated
	program        supervisor.DaemonRuntime
	started        time.Time

	ending chan struct{} // closed when the end begins
	once   sync.Once     // closes ending
	// Set before ending is closed.
	stay bool            // down, after the end
	last context.Context // of the command that is still answered, if one ends it
}

// runUnconfigured stands in for a daemon that cannot be configured, if the file
// is that of an instance and systemd has passed its sockets. Otherwise what is
// wrong is the end.
func (e *env) runUnconfigured(ctx context.Context, o daemonOptions, signals <-chan os.Signal, wrong error) error {
	file, err := e.configPath(o.config)
	if err != nil {
		return wrong
	}
	file = e.absolute(file)
	if !config.DefaultOptions().IsInstance(file) {
		return wrong
	}
	passed, err := socket.TakeActivated(passedBy(file))
	if err != nil || passed == nil {
		return wrong
	}
	defer socket.CloseAll(append(passed.Proxy, passed.Control))
	program, err := thisRuntime()
	if err != nil {
		return err
	}
	u := &unconfigured{
		file: file, instance: config.PlacesOf(file, "").Name, wrong: wrong,
		usable: func() error { _, _, err := e.loadForDaemon(o); return err },
		passed: passed, program: program, started: time.Now(), ending: make(chan struct{}),
	}
	output, _ := e.logOutput(u.instance)
	lines := newLineWriter(output)
	defer lines.Close(lastWords)
	newLog(lines).Info("configuration file broken", "error", wrong.Error(), "path", file)
	go u.mindSignals(signals)
	u.run(ctx)
	if u.stay {
		return stayDown(ctx, o.user)
	}
	return nil
}

// run serves until the end begins.
func (u *unconfigured) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	commands := u.commands()
	requests := proxy.New(proxy.Options{})
	notifier := systemd.OpenNotifier()
	defer notifier.Close()
	h := &herald{line: u.line, ending: u.ending, end: slack, notify: notifier.Tell, failed: func(error) {}, ready: make(chan struct{})}
	loops := []loop{{"control socket", u.passed.Control.Beat}}
	go commands.Serve(u.passed.Control)
	for _, l := range u.passed.Proxy {
		loops = append(loops, loop{"proxy at " + l.Address(), l.Beat})
		go requests.Serve(l)
	}
	go h.run(ctx)
	go feedWatchdog(ctx, u.ending, loops, notifier.Tell, func(string) {})
	close(h.ready)
	<-u.ending
	commands.Close(u.last)
	bound, done := context.WithTimeout(ctx, lastWords)
	defer done()
	requests.Shutdown(bound)
	awaitAnswers(commands)
}

func (u *unconfigured) line() string {
	return u.instance + ": no usable configuration, requests are refused; " + u.wrong.Error()
}

// commands answers all commands of a daemon.
func (u *unconfigured) commands() *control.Mux {
	m := control.NewMux(control.Options{Otherwise: u.refuse})
	control.Handle(m, "status", func(ctx context.Context, _ struct{}, _ func(any)) (supervisor.StatusResult, error) {
		return u.status(), u.mended(ctx)
	})
	control.Handle(m, "shutdown", func(ctx context.Context, _ struct{}, _ func(any)) (supervisor.Message, error) {
		u.end(ctx, true)
		return supervisor.Message{Message: "shutdown"}, nil
	})
	return m
}

// refuse answers the other commands.
func (u *unconfigured) refuse(ctx context.Context, _ string) error {
	if err := u.mended(ctx); err != nil {
		return err
	}
	return &control.Error{
		Code: "no-configuration", Message: "the daemon has no configuration: " + u.wrong.Error(), Hint: "mend " + u.file + " and try again",
	}
}

// mended ends this daemon when the file can be used now.
func (u *unconfigured) mended(ctx context.Context) error {
	if u.usable() != nil {
		return nil
	}
	u.end(ctx, false)
	return supervisor.ErrRestarting
}

func (u *unconfigured) status() supervisor.StatusResult {
	return supervisor.StatusResult{
		Application: u.instance, Config: u.file, Control: supervisor.ControlStatus{Path: u.passed.Control.Addr().String()},
		DaemonRuntime: u.program, PID: os.Getpid(), StartedAt: u.started.UTC().Format(time.RFC3339),
		Proxy:    u.proxyStatus(),
		Problems: []string{"no usable configuration, so requests are refused: " + u.wrong.Error()},
		Releases: []supervisor.ReleaseStatus{}, Services: []supervisor.OwnedProcess{}, Singletons: []supervisor.OwnedProcess{}, Orphans: []supervisor.Orphan{},
	}
}

// proxyStatus is where requests are refused.
func (u *unconfigured) proxyStatus() (p supervisor.ProxyStatus) {
	for _, l := range u.passed.Proxy {
		p.Listen = append(p.Listen, l.Address())
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && p.Port == 0 {
			p.Host, p.Port = tcp.IP.String(), tcp.Port
		}
	}
	return p
}

// end begins the end, once, for the command of that context, if it is one's.
func (u *unconfigured) end(ctx context.Context, stay bool) {
	u.once.Do(func() {
		u.last, u.stay = ctx, stay
		close(u.ending)
	})
}

func (u *unconfigured) mindSignals(signals <-chan os.Signal) {
	for s := range signals {
		if s == unix.SIGTERM || s == unix.SIGINT {
			u.end(context.Background(), false)
		}
	}
}

// stayDown has systemd stop this process's unit and the sockets that would start
// it again.
func stayDown(ctx context.Context, user bool) error {
	bus, err := systemd.Dial(ctx, systemd.Options{User: user})
	if err != nil {
		return errors.Join(errors.New("the sockets stay open"), err)
	}
	defer bus.Close()
	return stopForGood(ctx, bus, ownUnit(os.Getenv))
}
