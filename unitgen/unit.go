// Package unitgen writes a process down as a systemd unit, as bus properties or
// as the text of a unit file. It does no I/O.
package unitgen

import (
	"time"
	"rollbridge/supervisor/config"
)

// Host is what a unit depends on besides the process's definition.
type Host struct {
	Version    int    // major version of systemd
	Program    string // absolute path of rollbridge
	Gates      string // directory of the definition files
	DaemonUnit string // unit of the daemon, which is stopped first at a shutdown; "" when it is none
	User       bool   // a user's own manager
}

// Unit is a transient unit.
type Unit struct {
	Name       string
	Properties []Property
}

// Property is one setting, as the bus takes it: string, bool, int32, uint32,
// uint64, []string, [][]byte, ExecCommands, ExitStatuses or []uint32.
type Property struct {
	Name  string
	Value any
}

// Service is the unit of a process that systemd keeps running, behind the gate
// of the definition called id.
func Service(spec config.Spec, id string, h Host) Unit { panic("not yet") }

// Scope is the unit around a process that the daemon has forked, the n-th
// instance of its definition.
func Scope(spec config.Spec, n, pid int, h Host) Unit { panic("not yet") }

// Text is the unit as a unit file.
func (u Unit) Text() string { panic("not yet") }

// ServiceName, ScopeName and SliceName are the names of units; no two processes
// share one, nor do two generations of a release.
func ServiceName(spec config.Spec) string      { panic("not yet") }
func ScopeName(spec config.Spec, n int) string { panic("not yet") }
func SliceName(application string) string      { panic("not yet") }
func Pattern(app string) string { panic("") }
func RestartDelay(s config.Spec) time.Duration { panic("") }
