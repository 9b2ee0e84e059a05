package supervisor

import (
	"encoding/json"

	"rollbridge/supervisor/runner"
)

// The arguments and answers of the control commands. Their JSON is a contract
// with deploy scripts: fields are added, none is changed or removed. Absent
// values are left out, unless a field says null.

// DeployArgs are the fields of the `deploy` command.
type DeployArgs struct {
	ReleasePath string `json:"releasePath"`
	ReleaseID   string `json:"releaseId,omitempty"`
	Revision    string `json:"revision,omitempty"`
	// ConfigPath is the file the client read; it must be the daemon's (W26).
	ConfigPath string `json:"configPath,omitempty"`
	// Wait waits for the operation under way instead of being refused as busy.
	Wait bool `json:"wait,omitempty"`
	// WaitDrained answers only when the previous release is stopped.
	WaitDrained bool `json:"waitDrained,omitempty"`
}

// RollbackArgs are the fields of the `rollback` command.
type RollbackArgs struct {
	ReleaseID   string `json:"releaseId,omitempty"`
	ConfigPath  string `json:"configPath,omitempty"`
	Wait        bool   `json:"wait,omitempty"`
	WaitDrained bool   `json:"waitDrained,omitempty"`
}

// DeployResult answers deploy and rollback.
type DeployResult struct {
	ActiveReleaseID   string    `json:"activeReleaseId"`
	PreviousReleaseID *string   `json:"previousReleaseId"` // null when there was none
	Generation        int       `json:"generation"`
	Warnings          []Warning `json:"warnings,omitempty"`
}

// Warning is something a successful operation wants known.
type Warning struct {
	ProcessID string `json:"processId,omitempty"`
	Message   string `json:"message"`
}

// StopArgs are the fields of the `stop` command; no ReleaseID is the active one.
type StopArgs struct {
	ReleaseID string `json:"releaseId,omitempty"`
	Now       bool   `json:"now,omitempty"` // do not drain
	Wait      bool   `json:"wait,omitempty"`
}

// RestartArgs are the fields of the `restart` command; both select.
type RestartArgs struct {
	ProcessID string `json:"processId,omitempty"`
	Policy    string `json:"policy,omitempty"`
	Wait      bool   `json:"wait,omitempty"`
}

// RestartResult answers restart.
type RestartResult struct {
	Restarted []string `json:"restarted"`
}

// EventsArgs are the fields of the `events` command. A Limit that is no number
// above 0 means the last 1000, or with Since all. Since, an RFC 3339 time, leaves
// out what happened before. With Follow, events are streamed as progress lines
// until the client leaves.
type EventsArgs struct {
	Limit  any    `json:"limit,omitempty"`
	Since  string `json:"since,omitempty"`
	Follow bool   `json:"follow,omitempty"`
}

// EventsResult answers events, oldest first.
type EventsResult struct {
	Events []Event `json:"events"`
}

// LogsArgs are the fields of the `logs` command. ProcessID is an instance id
// or, as an addition, the id of all replicas. Since, an RFC 3339 time, leaves out
// older lines. With Follow, new lines are streamed as progress lines (LogLine)
// until the client leaves.
type LogsArgs struct {
	ProcessID string `json:"processId,omitempty"`
	Release   string `json:"releaseId,omitempty"`
	Lines     int    `json:"lines,omitempty"` // 0 is as many as outputLines says, or with Since all
	Since     string `json:"since,omitempty"`
	Follow    bool   `json:"follow,omitempty"`
}

// LogsResult answers logs.
type LogsResult struct {
	Processes []ProcessLogs `json:"processes"`
}

// ProcessLogs is the kept output of one process.
type ProcessLogs struct {
	ID     string    `json:"id"`
	Logs   []LogLine `json:"logs"`
	Source string    `json:"source"` // "release v1 (active)", "service", "singleton"
}

// LogLine is one line of output. ID and Source are set only when it is streamed.
type LogLine struct {
	ID     string `json:"id,omitempty"`
	Source string `json:"source,omitempty"`
	At     string `json:"at"` // UTC, RFC 3339 with milliseconds
	Line   string `json:"line"`
	Stream string `json:"stream"`
}

// Message answers commands that have nothing else to tell.
type Message struct {
	Message string `json:"message"`
}

// CancelResult answers cancel: the operation that was undone.
type CancelResult struct {
	Cancelled string `json:"cancelled"`
}

// Progress is one step of a running operation, streamed to a client that asked
// for it.
type Progress struct {
	// Phase is a stable word: "plan", "services", "start", "health", "switch",
	// "singletons", "drain", "undo", "stop", "restart".
	Phase   string `json:"phase"`
	Message string `json:"message"` // for people: "start web on port 18001"
}

// StatusArgs are the fields of the `status` command.
type StatusArgs struct {
	// WithoutLogs leaves out the output of processes, which may take a moment to
	// read.
	WithoutLogs bool `json:"withoutLogs,omitempty"`
}

// StatusResult answers status and stop.
type StatusResult struct {
	ActiveReleaseID *string         `json:"activeReleaseId"` // null when none is
	Application     string          `json:"application"`
	Config          string          `json:"config"` // the file the daemon reads
	Control         ControlStatus   `json:"control"`
	Daemon          *DaemonFigures  `json:"daemon,omitempty"`
	DaemonRuntime   DaemonRuntime   `json:"daemonRuntime"`
	Operation       *Operation      `json:"operation,omitempty"` // the one under way
	Orphans         []Orphan        `json:"orphans"`
	PID             int             `json:"pid"`
	Proxy           ProxyStatus     `json:"proxy"`
	Releases        []ReleaseStatus `json:"releases"`
	Problems        []string        `json:"problems,omitempty"` // of the daemon itself, a line each
	Runner          string          `json:"runner"`
	RunnerReason    string          `json:"runnerReason,omitempty"` // why this one, when nobody has named one
	Services        []OwnedProcess  `json:"services"`
	Singletons      []OwnedProcess  `json:"singletons"`
	StartedAt       string          `json:"startedAt"`
	StatePath       string          `json:"statePath,omitempty"` // where the state is kept
}

// ControlStatus is the control socket as configured. Mode is decimal.
type ControlStatus struct {
	Group string `json:"group,omitempty"`
	Mode  *int   `json:"mode,omitempty"`
	Owner string `json:"owner,omitempty"`
	Path  string `json:"path"`
}

// DaemonFigures is what the daemon itself holds.
type DaemonFigures struct {
	Goroutines int `json:"goroutines"`
	FDs        int `json:"fds"`
}

// DaemonRuntime is the program that the daemon runs.
type DaemonRuntime struct {
	Digest  string `json:"digest"` // sha256:… of the executable
	Format  int    `json:"format"` // 1
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Operation is who does what since when.
type Operation struct {
	Command string `json:"command"`
	Release string `json:"releaseId,omitempty"`
	Phase   string `json:"phase,omitempty"`
	Since   string `json:"since"`
	PeerPID int    `json:"peerPid,omitempty"`
	PeerUID int    `json:"peerUid"`
}

// Orphan is a process that an earlier daemon left running.
type Orphan struct {
	ID        string  `json:"id"`
	PID       int     `json:"pid"`
	ReleaseID *string `json:"releaseId"`
}

// ProxyStatus is the stable address. Host and Port are those of the first TCP
// address, "" and 0 without one; Port is the bound one.
type ProxyStatus struct {
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	UpstreamHost string   `json:"upstreamHost"`
	Held         int      `json:"held"`   // requests waiting for the active process
	Listen       []string `json:"listen"` // all addresses: host:port with the bound port, or unix:/path
}

// ReleaseStatus is one deployment of one release.
type ReleaseStatus struct {
	ActivatedAt     string          `json:"activatedAt,omitempty"`
	ConnectionCount int             `json:"connectionCount"`
	Connections     Connections     `json:"connections"`
	DrainStartedAt  string          `json:"drainStartedAt,omitempty"`
	Generation      int             `json:"generation"`
	Ports           map[string]int  `json:"ports"`
	Processes       []ProcessStatus `json:"processes"`
	ReleaseID       string          `json:"releaseId"`
	ReleasePath     string          `json:"releasePath"`
	Revision        string          `json:"revision"`
	State           string          `json:"state"`
	StoppedAt       string          `json:"stoppedAt,omitempty"`
}

// Connections is what is open through the proxy.
type Connections struct {
	HTTP      int `json:"http"`
	WebSocket int `json:"websocket"`
}

// OwnedProcess is a process of the daemon itself.
type OwnedProcess struct {
	ID      string        `json:"id"`
	Process ProcessStatus `json:"process"`
}

// ProcessStatus is one supervised process. Of ExitCode and ExitSignal one is
// null; both are absent while it runs and before its first exit.
type ProcessStatus struct {
	Children            []runner.Child `json:"children"`
	Command             string         `json:"command"`
	Cwd                 string         `json:"cwd"`
	ExitCode            *NullInt       `json:"exitCode,omitempty"`
	ExitSignal          *NullString    `json:"exitSignal,omitempty"`
	GaveUp              bool           `json:"gaveUp,omitempty"`
	ID                  string         `json:"id"`
	LastError           string         `json:"lastError,omitempty"`
	LastMemoryRestartAt string         `json:"lastMemoryRestartAt,omitempty"`
	LastStartReason     runner.Reason  `json:"lastStartReason,omitempty"`
	Logs                []LogLine      `json:"logs"`
	MemoryRestarts      int            `json:"memoryRestarts"`
	OOMKilled           bool           `json:"oomKilled,omitempty"`
	PID                 int            `json:"pid,omitempty"`
	Policy              string         `json:"policy"`
	Port                int            `json:"port,omitempty"`
	Restarts            int            `json:"restarts"`
	RetryAt             string         `json:"retryAt,omitempty"`
	RSSBytes            int64          `json:"rssBytes,omitempty"`
	StartedAt           string         `json:"startedAt,omitempty"`
	State               runner.State   `json:"state"`
	UptimeMs            *int64         `json:"uptimeMs,omitempty"`
}

// NullInt is a number or null.
type NullInt struct{ Value *int }

// NullString is a string or null.
type NullString struct{ Value *string }

// MarshalJSON writes the number or null.
func (n NullInt) MarshalJSON() ([]byte, error) { return json.Marshal(n.Value) }

// UnmarshalJSON reads the number or null.
func (n *NullInt) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &n.Value) }

// MarshalJSON writes the string or null.
func (n NullString) MarshalJSON() ([]byte, error) { return json.Marshal(n.Value) }

// UnmarshalJSON reads the string or null.
func (n *NullString) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &n.Value) }

// Event is one thing that happened, as `events` tells it and as a line of the
// daemon's log.
type Event struct {
	At      string         `json:"at"`
	Data    map[string]any `json:"data"`
	Message string         `json:"message"`
}
