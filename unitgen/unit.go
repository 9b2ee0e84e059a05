// Package unitgen writes a process down as a systemd unit, as bus properties or
// as the text of a unit file. It does no I/O.
//
// A unit says when and how systemd starts, stops and restarts a process; what
// runs in it is told by a definition file, since systemd expands and, at a
// daemon-reload, changes the text of a command.
package unitgen

import "math"

// Host is what a unit depends on besides the process's definition.
type Host struct {
	Version    int    // major version of systemd, at least Oldest
	Program    string // absolute path of rollbridge, without dollar signs and backslashes
	Gates      string // directory of the definition files
	DaemonUnit string // unit of the daemon, which is stopped first at a shutdown; "" when it is none
	User       bool   // a user's own manager
}

// Oldest is the oldest major version of systemd that knows what a unit needs.
const Oldest = 252

// Infinity is systemd's value for no limit, of time or of memory.
const Infinity = math.MaxUint64

// Unit is a transient unit.
type Unit struct {
	Name       string
	Properties Properties
}

// Properties are the settings of a unit, each at most once.
type Properties []Property

// Property is one setting, as the bus takes it: string, bool, int32, uint32,
// uint64, []string, [][]byte, ExecCommands, ExitStatuses or []uint32. Times are
// uint64 in microseconds.
type Property struct {
	Name  string
	Value any
}

// ExecCommands are the commands of a property such as ExecStart, of the bus
// type a(sasb).
type ExecCommands []ExecCommand

// ExecCommand is one command. systemd expands dollar signs in Argv, in both
// forms alike.
type ExecCommand struct {
	Path          string   `json:"path"`
	Argv          []string `json:"argv"` // Path first
	IgnoreFailure bool     `json:"ignoreFailure"`
}

// ExitStatuses is a set of ways to end, of the bus type (aiai).
type ExitStatuses struct {
	Codes   []int32 `json:"codes"`
	Signals []int32 `json:"signals"`
}

// add appends a setting.
func (p *Properties) add(name string, value any) {
	*p = append(*p, Property{name, value})
}

// known are those that a version of systemd has: an unknown one would make the
// whole unit fail.
func (p Properties) known(version int) Properties {
	var kept Properties
	for _, property := range p {
		if lookup(property.Name).since <= version {
			kept = append(kept, property)
		}
	}
	return kept
}
