// Package supervisor decides what runs: it deploys releases, switches traffic
// between them, drains and stops them, and keeps the processes around them.
//
// deploy.go is the place to start: a deploy from top to bottom.
package supervisor

import (
	"context"
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

// Options are what a Supervisor works with. Archive, LookupEnv and Probe may be
// left out; the rest must be given.
type Options struct {
	Config    *config.Config
	Load      func() (*config.Config, error) // reads Config's file again
	Runner    runner.Runner
	Proxy     *proxy.Proxy
	ProxyAddr net.Addr // where Proxy listens
	Log       *slog.Logger
	Runtime   DaemonRuntime
	Archive   Archive // where Log and the output of processes end up, if they can be read there

	LookupEnv func(string) (string, bool)                 // of templates; os.LookupEnv
	Probe     func(ctx context.Context, url string) error // one health check; over HTTP
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
	life       context.Context
	kill       context.CancelCauseFunc
	background sync.WaitGroup // drains, and watchers of web processes
	shutdown   shutdown

	mux *control.Mux // set before it serves

	mu sync.Mutex // taken for memory only: no I/O, no waiting under it
	// Guarded by mu.
	config      *config.Config
	op          *operation // the one under way, nil when idle
	closing     bool       // no operation may begin any more
	releases    []*release // that have been active, in the order of their ids' first deployment
	active      *release
	starting    *release         // of the deploy under way
	generations map[string]int   // deployments so far, by release id
	services    []runner.Process // policy service, persistent
	singletons  []runner.Process
}

// New returns a Supervisor that runs nothing yet.
func New(opt Options) *Supervisor {
	if opt.LookupEnv == nil {
		opt.LookupEnv = os.LookupEnv
	}
	if opt.Probe == nil {
		opt.Probe = probeHTTP
	}
	s := &Supervisor{
		opt: opt, runner: opt.Runner, proxy: opt.Proxy, config: opt.Config,
		events: newEventLog(opt.Log), started: time.Now(), generations: map[string]int{},
		shutdown: shutdown{done: make(chan struct{})},
	}
	s.life, s.kill = context.WithCancelCause(context.Background())
	s.proxy.Configure(s.proxyOptions(opt.Config))
	return s
}

// Note records an event in the list and in the log. The caller gives data away.
func (s *Supervisor) Note(message string, data map[string]any) {
	s.events.note(time.Now(), message, data)
}

// observe records what a runner tells of a process.
func (s *Supervisor) observe(e runner.Event) {
	data := map[string]any{"processId": e.Spec.Instance, "releaseId": e.Spec.Release}
	for key, value := range e.Data {
		data[key] = value
	}
	s.events.note(e.At, e.Message, data)
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
