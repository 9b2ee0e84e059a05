// Package systemd speaks with systemd: its manager over D-Bus, its journal, and
// the notification socket. It knows nothing of releases.
package systemd

import (
	"context"
	"errors"
	"syscall"
)

// ErrExists is what StartTransient answers when a unit of that name is loaded.
var ErrExists = errors.New("a unit of that name exists")

// ErrNoUnit is what calls about a unit answer that is not loaded.
var ErrNoUnit = errors.New("no such unit")

// JobError is a job that did not end as "done".
type JobError struct{ Unit, Result string }

func (e *JobError) Error() string { return e.Unit + ": job " + e.Result }

// Property is one property of a unit, as the bus takes it.
type Property struct {
	Name  string
	Value any
}

// Bus is the connection to a service manager; it is made anew when it breaks.
// Its methods may be called concurrently.
type Bus struct{}

// Options say which manager is meant.
type Options struct {
	User bool // the manager of the calling user, else the system's
}

// Dial connects.
func Dial(ctx context.Context, opt Options) (*Bus, error) { panic("not yet") }

// Close ends the connection, and with it every reference held on units.
func (b *Bus) Close() { panic("not yet") }

// Version is the manager's major version.
func (b *Bus) Version() int { panic("not yet") }

// StartTransient makes and starts a unit, and waits for its job. ErrExists, a
// *JobError, or why it could not be asked for.
func (b *Bus) StartTransient(ctx context.Context, name string, properties []Property) error {
	panic("not yet")
}

// Stop stops a unit and waits for its job, past any ordering against other
// units' jobs. A unit that is not loaded is no error.
func (b *Bus) Stop(ctx context.Context, name string) error { panic("not yet") }

// Restart starts a loaded unit at once, also one that waits for its restart.
func (b *Bus) Restart(ctx context.Context, name string) error { panic("not yet") }

// ResetFailed clears the failed state and the start counter; not loaded is no error.
func (b *Bus) ResetFailed(ctx context.Context, name string) error { panic("not yet") }

// Ref keeps a unit loaded as long as this connection lives; the Bus refers again
// after it had to reconnect. Unref lets it go.
func (b *Bus) Ref(ctx context.Context, name string) error   { panic("not yet") }
func (b *Bus) Unref(ctx context.Context, name string) error { panic("not yet") }

// Kill sends a signal to all processes of a unit.
func (b *Bus) Kill(ctx context.Context, name string, sig syscall.Signal) error { panic("not yet") }

// Unit reads the properties of a unit: ErrNoUnit when it is not loaded.
func (b *Bus) Unit(ctx context.Context, name string) (UnitState, error) { panic("not yet") }

// List lists the loaded units that match a glob.
func (b *Bus) List(ctx context.Context, pattern string) ([]UnitInfo, error) { panic("not yet") }

// Watch returns a channel that gets a token, never more than one, whenever
// something may have changed about a unit: at a signal about it, and at each
// reconnection. It means "look again", nothing more. stop ends it.
func (b *Bus) Watch(name string) (changed <-chan struct{}, stop func()) { panic("not yet") }

// Job is the type of the job a unit has now: "stop", "restart", "start", or ""
// for none.
func (b *Bus) Job(ctx context.Context, name string) (string, error) { panic("not yet") }

// SystemState is the manager's state: "running", "stopping", …
func (b *Bus) SystemState(ctx context.Context) (string, error) { panic("not yet") }

// UnitInfo is a row of a list of units.
type UnitInfo struct{ Name, LoadState, ActiveState, SubState string }

// UnitState is what a unit's properties say. Fields that its kind does not have
// are zero.
type UnitState struct {
	Name                             string
	LoadState, ActiveState, SubState string
	Result                           string
	InvocationID                     string // hex
	ControlGroup                     string // "" when it has none
	Slice                            string
	Environment                      []string
	StatusText                       string
	MainPID                          int
	ExecMainPID                      int
	ExecMainCode, ExecMainStatus     int // CLD_ code and status of the last main process; code 0 while it runs
	NRestarts                        uint32
	Job                              uint32 // 0 for none
}
