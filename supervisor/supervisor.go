// Package supervisor decides what runs: it deploys releases, switches traffic
// between them, drains and stops them, and keeps the processes around them.
//
// deploy.go is the place to start: a deploy from top to bottom.
package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"rollbridge/proxy"
	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// Options are what a Supervisor works with. Archive and State may be left out,
// and what stands below them; the rest must be given.
type Options struct {
	Config    *config.Config
	Load      func() (*config.Config, error)              // reads Config's file again
	Parse     func(source []byte) (*config.Config, error) // reads a text as if it stood in Config's file
	Runner    runner.Runner
	Proxy     *proxy.Proxy
	Listening []net.Addr // where Proxy listens
	Log       *slog.Logger
	Runtime   DaemonRuntime
	// Sockets are those that systemd has passed; nil when the daemon has bound
	// its own.
	Sockets *Sockets
	// RunnerReason is why this runner was chosen, when nobody named one.
	RunnerReason string
	Archive      Archive // where Log and the output of processes end up, if they can be read there

	Broken    error                                       // what is wrong with Config's file, when Config is the one in force instead
	OnReload  func() (done func())                        // told when a configuration is being taken over
	State     StatePaths                                  // zero remembers nothing
	BootID    string                                      // of the machine; the present one
	LookupEnv func(string) (string, bool)                 // of templates; os.LookupEnv
	Probe     func(ctx context.Context, url string) error // one health check; over HTTP
	disk      *disk                                       // the real one
}

// Supervisor is the daemon's head. Its methods may be called concurrently.
type Supervisor struct {
	opt     Options
	runner  runner.Runner
	proxy   *proxy.Proxy
	events  *eventLog
	started time.Time

	// life ends when a shutdown has no more time: whoever still waits for a
	// process to end by itself kills it then.
	life context.Context
	kill context.CancelCauseFunc
	// attached ends when the daemon leaves its processes to a later one: drains
	// go no further then.
	attached context.Context
	detach   context.CancelCauseFunc
	// ending ends when no operation may begin any more.
	ending      context.Context
	end         context.CancelCauseFunc
	changed     chan struct{}  // see Changed
	background  sync.WaitGroup // drains, and watchers of web processes
	shutdown    shutdown
	state       *stateFile    // nil keeps no state
	resuming    sync.Mutex    // held while Resume takes up what is there
	resumeBegun chan struct{} // closed when other operations may begin, or wait for their turn
	takenUp     chan struct{} // closed when Resume has looked at what is there
	resumed     chan struct{} // closed when what shall come back is back, or could not be at first

	mux *control.Mux // set before it serves

	mu sync.Mutex // taken for memory only: no I/O, no waiting under it
	// Guarded by mu.
	config      *config.Config
	op          *operation // the one under way, nil when idle
	refusal     error      // why no operation may begin any more
	closing     bool       // the daemon stops everything: nothing may be started any more
	releases    []*release // that have been active, in the order of their ids' first deployment
	active      *release
	starting    *release         // of the deploy under way
	generations map[string]int   // deployments so far, by release id
	services    []runner.Process // policy service, persistent
	singletons  []runner.Process
	// comeback is the release that a later daemon brings back: the active one,
	// after a shutdown too. Only `stop` clears it.
	comeback *release
	orphans  []orphanRecord // of earlier daemons, which no daemon can take back
	extra    extra          // of the state file
	problems map[string]string
}

// New returns a Supervisor that runs nothing yet.
func New(opt Options) *Supervisor {
	if opt.LookupEnv == nil {
		opt.LookupEnv = os.LookupEnv
	}
	if opt.Probe == nil {
		opt.Probe = probeHTTP
	}
	if opt.OnReload == nil {
		opt.OnReload = func() func() { return func() {} }
	}
	if opt.disk == nil {
		opt.disk = &realDisk
	}
	if opt.BootID == "" {
		opt.BootID = runner.BootID()
	}
	s := &Supervisor{
		opt: opt, runner: opt.Runner, proxy: opt.Proxy, config: opt.Config,
		events: newEventLog(opt.Log), started: time.Now(), changed: make(chan struct{}, 1), generations: map[string]int{},
		shutdown: shutdown{done: make(chan struct{})}, resumed: make(chan struct{}), takenUp: make(chan struct{}), resumeBegun: make(chan struct{}), problems: map[string]string{},
	}
	s.life, s.kill = context.WithCancelCause(context.Background())
	s.attached, s.detach = context.WithCancelCause(s.life)
	s.ending, s.end = context.WithCancelCause(s.life)
	if opt.Broken != nil {
		s.problems[fileProblem] = fmt.Sprintf("%s cannot be used, so the configuration of the last deploy is in force: %v", opt.Config.File, opt.Broken)
	}
	if opt.State.File != "" {
		s.state = newStateFile(opt.State.File, *opt.disk, s.snapshot, s.noteState)
		if !s.survives() {
			s.state.interval = stateInterval
		}
	} else {
		close(s.resumeBegun) // there is nothing to take up
		close(s.takenUp)
	}
	s.proxy.Configure(s.proxyOptions(opt.Config))
	return s
}

// Note records an event in the list and in the log. The caller gives data away.
func (s *Supervisor) Note(message string, data map[string]any) {
	s.events.note(time.Now(), message, data)
	s.stir()
}

// observe records what a runner tells of a process.
func (s *Supervisor) observe(e runner.Event) {
	data := map[string]any{"processId": e.Spec.Instance, "releaseId": e.Spec.Release}
	for key, value := range e.Data {
		data[key] = value
	}
	s.events.note(e.At, e.Message, data)
	s.stir()
	s.state.touch()
}

// stateInterval is how often the state is written though nothing has changed,
// where it is the only sign of life of a daemon.
const stateInterval = 5 * time.Second

// noteState tells that the state cannot be written, and that it can again.
func (s *Supervisor) noteState(err error) {
	if err == nil {
		s.Note("state persisted again", map[string]any{"path": s.opt.State.File})
		return
	}
	s.Note("state persist failed", map[string]any{"error": err.Error(), "path": s.opt.State.File})
}

// fileProblem is the problem of a configuration file that cannot be used.
const fileProblem = "config"

// setProblem says in `status` what is wrong with the daemon, under a name that
// an empty text takes away again.
func (s *Supervisor) setProblem(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" {
		delete(s.problems, name)
		return
	}
	s.problems[name] = text
}

// currentConfig is the configuration in force.
func (s *Supervisor) currentConfig() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// proxyOptions are the settings of the proxy that a deploy may change.
func (s *Supervisor) proxyOptions(cfg *config.Config) proxy.Options {
	return proxy.Options{
		OnError:        func(err error) { s.Note("proxy error", map[string]any{"error": err.Error()}) },
		TrustedProxies: cfg.Proxy.TrustedProxies,
		HoldTimeout:    cfg.Proxy.HoldTimeout,
		MaxHeld:        cfg.Proxy.MaxHeldRequests,
		CloseSpread:    cfg.Proxy.CloseSpread,
	}
}
