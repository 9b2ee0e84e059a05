// Package gate is what stands in front of a managed command: it reads the
// definition a daemon has written, decides about the restart, opens the output
// and becomes the command, in the same process.
package gate

import (
	"encoding/json"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/restart"
)

// Want is what shall become of a process when it ends by itself.
type Want string

// The wants.
const (
	Run   Want = "run"   // the restart policy holds
	Drain Want = "drain" // its release retires: it is not started again
	Stop  Want = "stop"  // it is being stopped
)

// Definition is one process for its gate: the file ID.json in a Dir, readable
// by its owner only, since it holds commands and environments.
type Definition struct {
	Version int         `json:"version"` // 1
	ID      string      `json:"id"`      // letters and digits, made anew for each unit; also its nonce
	Unit    string      `json:"unit"`    // systemd's name; of a scope, that of the newest instance
	Spec    config.Spec `json:"spec"`
	Daemon  []string    `json:"daemon"` // environment of the daemon, see config.Environment
	Want    Want        `json:"want"`
	Born    time.Time   `json:"born"`

	// Start is the reason of the next start that the daemon asks for. It holds
	// for one start: the gate records Serial, and takes a serial it has seen for
	// none.
	Start Token `json:"start"`
	// Resets counts how often the daemon had systemd forget NRestarts.
	Resets int `json:"resets"`

	// What a newer version wrote besides, kept when the file is rewritten.
	Unknown map[string]json.RawMessage `json:"-"`
}

// Token is a start asked for by the daemon.
type Token struct {
	Serial int    `json:"serial"`
	Reason string `json:"reason"` // "deploy", "manual", "memory"
}

// Kind is what a Record tells.
type Kind string

// The kinds.
const (
	Waiting Kind = "waiting" // the gate waits until Until, then starts
	Started Kind = "started" // the command is executed
	Failed  Kind = "failed"  // the command could not be executed: Error
	Exited  Kind = "exited"  // the command ended: Code or Signal
	GaveUp  Kind = "gave up" // the restart budget is used up
	Ended   Kind = "ended"   // started no more, since Want is not Run
)

// Record is one thing that happened to a process: a line of the file ID.log in
// a Dir. Each carries the whole state after it, so that the last one is enough.
type Record struct {
	Seq  uint64        `json:"seq"` // from 1
	Kind Kind          `json:"kind"`
	At   time.Time     `json:"at"`
	Boot time.Duration `json:"boot"` // CLOCK_BOOTTIME at At

	Release    string    `json:"release"` // of the definition it happened to
	Generation int       `json:"generation"`
	PID        int       `json:"pid,omitempty"`
	StartTime  uint64    `json:"startTime,omitempty"` // field 22 of /proc/PID/stat
	Unit       string    `json:"unit,omitempty"`
	Invocation string    `json:"invocation,omitempty"`
	Reason     string    `json:"reason,omitempty"` // of the newest start: "deploy", "crash", "manual", "memory"
	Until      time.Time `json:"until,omitzero"`
	Error      string    `json:"error,omitempty"`
	Code       int       `json:"code,omitempty"`
	Signal     int       `json:"signal,omitempty"`
	Unseen     bool      `json:"unseen,omitempty"` // ended while no one saw how

	Restarts       int             `json:"restarts"` // automatic ones, tried or done, over the process's life
	MemoryRestarts int             `json:"memoryRestarts,omitempty"`
	History        restart.History `json:"history"` // in CLOCK_BOOTTIME
	Serial         int             `json:"serial"`  // the newest Token seen
	NRestarts      uint32          `json:"nRestarts"`
	Resets         int             `json:"resets"`
}
