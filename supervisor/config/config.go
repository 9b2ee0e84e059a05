// Package config reads a rollbridge configuration: its types and defaults,
// every problem with its position and its fix, and the rendering of one
// process definition for one release.
//
// The steps are three functions: Parse (source text to Config, all problems at
// once), LiveChanges (what a running daemon would have to be restarted for) and
// Render (placeholders to a Spec, which has none).
package config

import (
	"io/fs"
	"math"
	"net/netip"
	"syscall"
	"time"
)

// Defaults of the configuration keys that have a fixed one.
const (
	DefaultProxyHost           = "127.0.0.1"
	DefaultProxyPort           = 8182
	DefaultHealthPath          = "/ping"
	DefaultHealthTimeout       = 30 * time.Second
	DefaultHealthInterval      = 250 * time.Millisecond
	DefaultDrainTimeout        = 60 * time.Second
	DefaultForceStopTimeout    = 10 * time.Second
	DefaultHoldTimeout         = 10 * time.Second
	DefaultMaxHeldRequests     = 1000
	DefaultCloseSpread         = 2 * time.Second
	DefaultUpgradeDrainTimeout = time.Hour
	DefaultShutdownTimeout     = 90 * time.Second
	DefaultRestartGrace        = 5 * time.Second
	DefaultRestartDelay        = time.Second
	DefaultOutputLines         = 50
	DefaultMemoryCheckInterval = 5 * time.Second
	DefaultRetentionKeep       = 10
)

// Indefinite is the Process.GracefulStop of `gracefulStopMs: "indefinite"`:
// wait for the process to end by itself, never kill it.
const Indefinite = time.Duration(math.MaxInt64)

// Unlimited is the Restart.Max of a process without `restart.maxRestarts`.
const Unlimited = -1

// Config is one application: its proxy, its control socket, its processes.
// A Config is never changed after Parse; a reload makes a new one.
type Config struct {
	File        string // absolute path of the file it came from
	Source      []byte // what stands in it
	Application string
	User, Group string    // of processes without their own; "" is the daemon's
	EnvFiles    []EnvFile // of every process, before its own

	Proxy            Proxy
	Control          Control
	Processes        []Process
	ReleaseRetention Retention
	StatePath        string // "" keeps no state file
	LegacyTakeover   *LegacyTakeover

	ShutdownTimeout time.Duration
	RestartGrace    time.Duration
	ResumeTimeout   time.Duration

	expected []expectation
}

// Proxy is the stable address and how traffic is moved behind it. Host and Port
// are those of the first TCP address in Listen, the defaults when there is none.
type Proxy struct {
	Host         string
	Port         int // 0 is any free port
	UpstreamHost string
	Listen       []string // all addresses: host:port, or unix:/path, which is absolute

	HealthPath       string        // default of Health.Path
	HealthTimeout    time.Duration // default of Health.Timeout
	DrainTimeout     time.Duration
	ForceStopTimeout time.Duration // default of Process.GracefulStop

	TrustedProxies      []netip.Prefix // whose X-Forwarded-* are kept
	HoldTimeout         time.Duration
	MaxHeldRequests     int
	CloseSpread         time.Duration
	UpgradeDrainTimeout time.Duration
}

// Control is the control socket. A nil Mode leaves the safe default, 0600.
type Control struct {
	Path         string
	Mode         *fs.FileMode
	Owner, Group string // name or decimal id; "" leaves the daemon's
}

// Retention says how many stopped releases stay in the list, for rollback.
type Retention struct {
	Keep   int
	MaxAge time.Duration // 0 is without limit
}

// LegacyTakeover names what an earlier, hand-made deployment left running.
type LegacyTakeover struct {
	Screens          []string
	Processes        []LegacyProcess
	ForceStopTimeout time.Duration
}

// LegacyProcess matches a command line that contains all of Includes.
type LegacyProcess struct {
	Name     string
	Includes []string
}

// Policy says to whom a process belongs and when it is replaced.
type Policy string

// The four policies.
const (
	Proxied   Policy = "proxied"   // the web process of a release, target of the proxy
	Companion Policy = "companion" // belongs to a release, started before its web process
	Singleton Policy = "singleton" // one per daemon, replaced after the switch, never two
	Service   Policy = "service"   // outlives releases (persistent) or overlaps them (handoff)
)

// Strategy is the deploy strategy of a policy service.
type Strategy string

// The two strategies.
const (
	Persistent Strategy = "persistent"
	Handoff    Strategy = "handoff"
)

// Process is one entry of `processes`. Command, Dir, the paths of EnvFiles and
// the values of Env may hold placeholders; Config.Render makes a Spec of it.
type Process struct {
	ID             string
	Command        string
	Policy         Policy
	DeployStrategy Strategy
	Dir            string // key `cwd`; "" is the release path, relative is below it
	Env            map[string]string
	EnvFiles       []EnvFile // relative ones are below the release path
	User, Group    string
	Port           *PortRange // nil for a process without a port
	Health         *Health    // nil is `health: false`

	GracefulStop     time.Duration // or Indefinite
	StopSignal       syscall.Signal
	Lifecycle        Lifecycle
	NonBlockingDrain bool
	Restart          Restart
	Memory           *Memory
	Replicas         int
	OutputLines      int
}

// IsHandoff reports whether the process is a service that belongs to a release.
func (p *Process) IsHandoff() bool { return p.Policy == Service && p.DeployStrategy == Handoff }

// IsPersistent reports whether the process is a service that outlives releases.
func (p *Process) IsPersistent() bool { return p.Policy == Service && !p.IsHandoff() }

// PortRange is the range a port is taken from; From or To 0 is any free port.
type PortRange struct{ From, To int }

// Ephemeral reports whether any free port will do.
func (r PortRange) Ephemeral() bool { return r.From == 0 || r.To == 0 }

// Health is the gate a new release's web process has to pass.
type Health struct {
	Path       string
	Timeout    time.Duration
	Interval   time.Duration
	StartDelay time.Duration
}

// Lifecycle is the commands run while a process is being stopped; "" is none.
type Lifecycle struct {
	Quiet, Drain, Stop string
	DrainTimeout       time.Duration
}

// Restart is the automatic restart policy; package restart decides by it.
type Restart struct {
	Delay    time.Duration // key `restartDelayMs`
	Max      int           // Unlimited, or how many restarts in Window
	Window   time.Duration // 0 is the whole life
	Factor   float64       // of the delay, for each restart in Window
	MaxDelay time.Duration // 0 is without cap
}

// Memory is memory supervision; HardLimit 0 is none.
type Memory struct {
	Limit, Warn, HardLimit int64 // bytes
	CheckInterval          time.Duration
}

// Spec is a Process rendered for one release: no placeholder is left. Runners
// see only Specs.
type Spec struct {
	Application string
	Process     string // id in the configuration
	Instance    string // Process, or Process#n with replicas
	Policy      Policy
	Strategy    Strategy

	Release     string // release id
	Generation  int    // counts the deployments of one release id, from 1
	ReleasePath string
	Revision    string
	Replica     int
	Port        int // 0 for a process without a port

	Command     string
	Dir         string    // absolute
	Injected    []string  // the ROLLBRIDGE_ variables that every process gets
	EnvFiles    []EnvFile // win over Injected
	Env         []string  // the configuration's own; win over all
	User, Group string

	Stop        Stop
	Restart     Restart
	Memory      *Memory
	OutputLines int
}

// Stop is how a process is ended.
type Stop struct {
	Signal    syscall.Signal
	Grace     time.Duration // or Indefinite
	Lifecycle Lifecycle
}
