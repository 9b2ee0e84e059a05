package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"rollbridge/proxy"
	"rollbridge/socket"
	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
)

func daemonCommand() *command {
	var o daemonOptions
	return &command{
		name:     "daemon",
		synopsis: "[options]",
		short:    "Run the daemon in the foreground",
		long: `Listens on the proxy address and the control socket and runs what is deployed,
until it is told to shut down. Its log goes to stdout, one JSON object per line,
or to the journal, if that is where systemd has connected stdout.

SIGTERM and SIGINT shut it down in order, like the command shutdown; other
signals change nothing.`,
		example: "rollbridge daemon --config rollbridge.yaml",
		flags: func(f *pflag.FlagSet) {
			configFlag(f, &o.config)
			f.Var(choice{"runner", []string{"auto", "systemd", "direct"}, &o.runner}, "runner", "<kind> what keeps processes running: auto, systemd or direct (default: $ROLLBRIDGE_RUNNER, else auto)")
			f.BoolVar(&o.user, "user", false, "let the systemd of the calling user keep processes running, without root")
		},
		run: func(ctx context.Context, e *env, _ []string) error { return e.runDaemon(ctx, o) },
	}
}

type daemonOptions struct {
	config, runner string
	user           bool
}

// A daemon is all the parts, built and joined. It runs as a list of actors,
// the proxy, the control socket, the supervisor and the signals; it ends when
// the supervisor says that everything is stopped.
type daemon struct {
	config  *config.Config
	broken  error // what is wrong with the file, when config is the one in force instead
	log     *slog.Logger
	archive supervisor.Archive // nil when the log does not go to the journal
	runner  *chosenRunner
	lock    *supervisor.Lock // nil when processes end with the daemon

	proxy      *proxy.Proxy
	control    *control.Mux
	supervisor *supervisor.Supervisor
	herald     *herald
	notifier   *systemd.Notifier
	toldToEnd  atomic.Bool // by a signal, rather than by a command

	version         string
	proxyListeners  []*socket.Listener
	controlListener *socket.Listener
	sockets         *supervisor.Sockets // nil when the listeners are our own

	defect atomic.Pointer[error] // the first actor's that ended by itself
}

// lastWords is how long the end of the daemon waits for answers and log lines
// to be taken.
const lastWords = 2 * time.Second

// runDaemon runs the daemon until it has shut down.
func (e *env) runDaemon(ctx context.Context, o daemonOptions) error {
	ready := takeReadyPipe()
	signals := watchSignals()
	var err error
	if o.runner, err = o.kind(e, os.Geteuid()); err != nil {
		return err
	}
	cfg, broken, err := e.loadForDaemon(o)
	if err != nil {
		return e.runUnconfigured(ctx, o, signals, err)
	}
	output, journalled := e.logOutput(cfg.Application)
	lines := newLineWriter(output)
	defer lines.Close(lastWords)
	d := &daemon{config: cfg, broken: broken, log: newLog(lines)}
	if journalled {
		d.archive = supervisor.NewJournalArchive(systemd.OpenJournal(), cfg.Application)
	}
	if err := d.build(ctx, e, o); err != nil {
		return err
	}
	defer d.close()
	return d.run(ctx, signals, func() {
		lines.Flush(lastWords)
		ready.say()
	})
}

// build brings up the parts in their order: an address that is taken and an
// instance that runs already are noticed before anything else is touched.
func (d *daemon) build(ctx context.Context, e *env, o daemonOptions) (err error) {
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.runner, err = e.chooseRunner(ctx, o, d.config, d.note); err != nil {
		return err
	}
	if err := d.listen(ctx); err != nil {
		return err
	}
	if err := d.lockInstance(); err != nil {
		return advised(err)
	}
	return d.join()
}

// join makes the parts that need one another.
func (d *daemon) join() error {
	program, err := thisRuntime()
	if err != nil {
		return err
	}
	d.control = control.NewMux(control.Options{OnError: d.commandFailed, OnConnError: d.connectionFailed})
	d.proxy = proxy.New(proxy.Options{}) // the supervisor configures it
	file := d.config.File
	d.supervisor = supervisor.New(supervisor.Options{
		Config:    d.config,
		Load:      func() (*config.Config, error) { return config.Load(file) },
		Parse:     func(source []byte) (*config.Config, error) { return config.LoadSource(file, source) },
		Runner:    d.runner,
		Proxy:     d.proxy,
		Listening: d.listening(),
		Sockets:   d.sockets,
		Log:       d.log,
		Runtime:   program,
		Archive:   d.archive,
		OnReload:  func() func() { return d.herald.reloading() },
		State:     d.statePaths(),

		RunnerReason: d.runner.reason,
		Broken:       d.broken,
	})
	d.supervisor.Commands(d.control)
	d.addHang()
	d.notifier = systemd.OpenNotifier()
	d.herald = d.newHerald()
	d.version = program.Version
	d.noteListeners()
	return nil
}

// noteStart records that it serves.
func (d *daemon) noteStart() {
	d.note("daemon started", map[string]any{
		"application": d.config.Application, "config": d.config.File, "pid": os.Getpid(), "runner": d.runner.Kind(), "version": d.version,
	})
	if keys := notInEffect(d.config, d.runner.Kind()); len(keys) > 0 {
		d.note("configuration not in effect yet", map[string]any{"keys": keys})
	}
}

// notInEffect names the keys that are read and checked, but that nothing acts
// on in this version, or with this runner.
func notInEffect(cfg *config.Config, runner string) []string {
	var keys []string
	if cfg.LegacyTakeover != nil {
		keys = append(keys, "legacyTakeover")
	}
	for i, p := range cfg.Processes {
		if p.Memory != nil && p.Memory.HardLimit > 0 && runner == "direct" {
			keys = append(keys, fmt.Sprintf("processes[%d].memory.hardLimitBytes", i))
		}
	}
	return keys
}

// note records an event. What happens before there is a supervisor goes into
// the log alone.
func (d *daemon) note(message string, data map[string]any) {
	if d.supervisor != nil {
		d.supervisor.Note(message, data)
	}
}

func (d *daemon) commandFailed(peer control.Peer, command string, err error) {
	d.note("command failed", map[string]any{"command": command, "error": err.Error(), "peerPid": peer.PID, "peerUid": peer.UID})
}

func (d *daemon) connectionFailed(peer control.Peer, err error) {
	var code any // null when it has none
	var errno syscall.Errno
	if errors.As(err, &errno) {
		code = unix.ErrnoName(errno)
	}
	d.note("control connection error", map[string]any{"code": code, "error": err.Error(), "peerPid": peer.PID, "peerUid": peer.UID})
}

// run takes up what earlier daemons have left, and serves until everything is
// stopped, or left to the next daemon. Commands are answered from the first
// moment; clients wait to be accepted until it is known where their requests go.
// Ready is said when requests are answered as far as they can be. An actor that
// ends by itself takes the others with it, in order.
func (d *daemon) run(ctx context.Context, signals <-chan os.Signal, ready func()) error {
	telling, told := context.WithCancel(ctx)
	defer told()
	go d.herald.run(telling)
	go d.actor("control socket", func() error { return d.control.Serve(d.hangable("control socket", d.controlListener)) })
	if err := d.supervisor.Resume(ctx); err != nil {
		d.control.Close(ctx) // its actor has not broken down
		return advised(err)
	}
	go d.mindSignals(signals)
	for _, l := range d.proxyListeners {
		go d.actor("proxy", func() error { return d.proxy.Serve(d.hangable("proxy", l)) })
	}
	go feedWatchdog(telling, d.supervisor.Ending(), d.loops(), d.notifier.Tell, func(loop string) {
		d.note("loop stands still", map[string]any{"loop": loop})
	})
	select {
	case <-d.supervisor.Resumed():
		d.noteStart()
		ready()
		close(d.herald.ready)
	case <-d.supervisor.Done():
	}
	<-d.supervisor.Done()
	d.stayDown(ctx)
	awaitAnswers(d.control)
	return errors.Join(d.brokenDown(), d.supervisor.Err())
}

// stayDown has systemd stop the daemon's own unit, and its sockets, after the
// command shutdown, so that it is not started again. Whoever stops a unit says
// himself what shall stay down.
func (d *daemon) stayDown(ctx context.Context) {
	if d.brokenDown() != nil || d.supervisor.Detached() || d.toldToEnd.Load() {
		return
	}
	if err := d.runner.stayDown(ctx); err != nil {
		d.note("own unit not stopped", map[string]any{"error": err.Error()})
	}
}

// actor runs one part of the daemon. That it ends is right only after it was
// told to.
func (d *daemon) actor(name string, serve func() error) {
	if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		d.breakDown(fmt.Errorf("%s: %w", name, err))
	}
}

// breakDown ends the daemon because a part of it does not work any more;
// processes that outlive it are left to the next one.
func (d *daemon) breakDown(err error) {
	d.note("listener broken", map[string]any{"error": err.Error()})
	d.defect.CompareAndSwap(nil, &err)
	d.supervisor.Detach(context.Background())
}

// brokenDown is why the daemon could not go on, nil when it was told to end.
func (d *daemon) brokenDown() error {
	if err := d.defect.Load(); err != nil {
		return *err
	}
	return nil
}

// awaitAnswers lets the last answer reach its client.
func awaitAnswers(commands *control.Mux) {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		commands.Wait()
	}()
	select {
	case <-answered:
	case <-time.After(lastWords):
	}
}

// close gives back what build took.
func (d *daemon) close() {
	if d.controlListener != nil {
		d.controlListener.Close()
	}
	socket.CloseAll(d.proxyListeners)
	if d.runner != nil {
		d.runner.close()
	}
	d.notifier.Close()
	d.lock.Release()
}
