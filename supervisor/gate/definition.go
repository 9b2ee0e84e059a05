// Package gate is what stands in front of a managed command: it reads the
// definition a daemon has written, decides about the restart, opens the output
// and becomes the command, in the same process.
//
// A daemon writes definitions and reads records; the gate of a unit (Gate.Run)
// and what follows the end of its command (Gate.Ended) do the opposite. Neither
// needs the other to be there. Gate.Shim stands in front of a child that the
// daemon forks, and keeps the records of, itself.
package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rollbridge/supervisor/config"
)

// Version is that of the definitions this program writes.
const Version = 1

// Want is what shall become of a process when it ends by itself.
type Want string

// The wants.
const (
	Run   Want = "run"   // the restart policy holds
	Drain Want = "drain" // its release retires: it is not started again
	Stop  Want = "stop"  // it is being stopped
)

// The environment of a gate: the directory of its definition, and which one.
const (
	DirVariable = "ROLLBRIDGE_GATES"
	IDVariable  = "ROLLBRIDGE_DEFINITION"
)

// Definition is one process for its gate: the file ID.json in a Dir, readable
// by its owner only, since it holds commands and environments.
type Definition struct {
	Version int         `json:"version"` // see Version
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
	// Instances counts the scopes that the process has had.
	Instances int `json:"instances,omitempty"`
	// Told is the number of the newest record that a daemon has told of.
	Told uint64 `json:"told,omitempty"`

	// What a newer version wrote besides, kept when the file is rewritten.
	Unknown map[string]json.RawMessage `json:"-"`

	specText json.RawMessage // what Spec was read from, see keptSpec
}

// Token is a start asked for by the daemon.
type Token struct {
	Serial int    `json:"serial"`
	Reason string `json:"reason"` // "deploy", "manual", "memory"
}

// Identifier is the name of a process in the journal: its application,
// instance and release, as in "shop.worker#2@v42", and the generation of the
// release if it is not the first, as in "shop.worker@v42+2".
func Identifier(spec config.Spec) string {
	name := spec.Application + "." + spec.Instance + "@" + spec.Release
	if spec.Generation > 1 {
		name += fmt.Sprintf("+%d", spec.Generation)
	}
	return name
}

// check finds what no gate can work with.
func (d Definition) check(id string) error {
	switch {
	case d.Version < 1:
		return errors.New("it has no version")
	case d.ID != id:
		return fmt.Errorf("it is that of %q", d.ID)
	case d.Spec.Command == "":
		return errors.New("it has no command")
	}
	return nil
}
