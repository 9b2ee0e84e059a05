package systemd

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/godbus/dbus/v5"
)

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
	TriggeredBy                      []string // units that start it, such as sockets
	StatusText                       string
	MainPID                          int
	ExecMainPID                      int
	ExecMainCode, ExecMainStatus     int // CLD_ code and status of the last main process; code 0 while it runs
	NRestarts                        uint32
	Job                              uint32 // 0 for none
}

// Unit reads the properties of a unit: ErrNoUnit when it is not loaded, or is
// known by name only.
func (b *Bus) Unit(ctx context.Context, name string) (state UnitState, err error) {
	err = b.do(ctx, func(c *connection) error {
		read := c.unit
		if b.holds(c, name) {
			read = c.heldUnit
		}
		unit, err := read(ctx, name)
		state = unit.state(name)
		return err
	})
	if err != nil {
		return UnitState{}, about("look at", name, err)
	}
	return state, nil
}

// List lists the loaded units that match a glob, also those that are known by
// name only (LoadState "not-found").
func (b *Bus) List(ctx context.Context, pattern string) ([]UnitInfo, error) {
	var rows []struct {
		Name, Description, Load, Active, Sub, Following string
		Path                                            dbus.ObjectPath
		JobID                                           uint32
		JobType                                         string
		JobPath                                         dbus.ObjectPath
	}
	err := b.do(ctx, func(c *connection) error {
		call, err := c.on(ctx, "ListUnitsByPatterns", []string{}, []string{pattern})
		if err != nil {
			return err
		}
		return call.Store(&rows)
	})
	if err != nil {
		return nil, about("list units", pattern, err)
	}
	units := make([]UnitInfo, 0, len(rows))
	for _, row := range rows {
		units = append(units, UnitInfo{row.Name, row.Load, row.Active, row.Sub})
	}
	return units, nil
}

// Job is the type of the job a unit has now: "stop", "restart", "start", …, or
// "" for none. Of a restart the second half is a "start".
func (b *Bus) Job(ctx context.Context, name string) (kind string, err error) {
	err = b.do(ctx, func(c *connection) error {
		path, err := c.find(ctx, name)
		if err != nil {
			return err
		}
		value, err := c.property(ctx, path, unitInterface, "Job")
		if err != nil {
			return err
		}
		id, job := jobOf(value)
		if id == 0 {
			kind = ""
			return nil
		}
		kind, err = c.jobType(ctx, job)
		return err
	})
	return kind, about("look for the job of", name, err)
}

// jobType is the type of a job, "" when it has ended.
func (c *connection) jobType(ctx context.Context, job dbus.ObjectPath) (string, error) {
	value, err := c.property(ctx, job, jobInterface, "JobType")
	if isAnswer(err, unknownObject) {
		return "", nil
	}
	kind, _ := value.(string)
	return kind, err
}

// SystemState is the manager's state: "running", "degraded", "stopping", …
func (b *Bus) SystemState(ctx context.Context) (state string, err error) {
	err = b.do(ctx, func(c *connection) error {
		value, err := c.property(ctx, managerPath, managerInterface, "SystemState")
		state, _ = value.(string)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ask systemd for its state: %w", inWords(err))
	}
	return state, nil
}

// find is the object of a unit that is loaded. It loads none, as reading a
// property of the object would.
func (c *connection) find(ctx context.Context, name string) (path dbus.ObjectPath, err error) {
	call, err := c.on(ctx, "GetUnit", name)
	if err != nil {
		return "", err
	}
	return path, call.Store(&path)
}

// unit reads all properties of a unit.
func (c *connection) unit(ctx context.Context, name string) (unitProperties, error) {
	path, err := c.find(ctx, name)
	if isAnswer(err, noUnit) {
		return nil, ErrNoUnit
	}
	if err != nil {
		return nil, err
	}
	return c.read(ctx, path)
}

// load is unit for one that may not be loaded yet.
func (c *connection) load(ctx context.Context, name string) (unitProperties, error) {
	call, err := c.on(ctx, "LoadUnit", name)
	if err != nil {
		return nil, err
	}
	var path dbus.ObjectPath
	if err := call.Store(&path); err != nil {
		return nil, err
	}
	return c.read(ctx, path)
}

// heldUnit is unit for one that cannot be unloaded, and so need not be found.
func (c *connection) heldUnit(ctx context.Context, name string) (unitProperties, error) {
	return c.read(ctx, unitPath(name))
}

// read reads all properties at once: one answer is quicker than two, or than
// fifteen, and no two of them contradict each other.
func (c *connection) read(ctx context.Context, path dbus.ObjectPath) (unitProperties, error) {
	call, err := c.call(ctx, path, properties+".GetAll", "")
	if err != nil {
		return nil, err
	}
	var unit unitProperties
	if err := call.Store(&unit); err != nil {
		return nil, err
	}
	if unit.text("LoadState") == "not-found" {
		return nil, ErrNoUnit
	}
	return unit, nil
}

// unitProperties are a unit's properties by name. One that is not there, or is
// of another type, reads as zero.
type unitProperties map[string]dbus.Variant

func valueOf[T any](u unitProperties, name string) (value T) {
	value, _ = u[name].Value().(T)
	return value
}

func (u unitProperties) text(name string) string   { return valueOf[string](u, name) }
func (u unitProperties) number(name string) uint64 { return valueOf[uint64](u, name) }

func (u unitProperties) job() (id uint32, path dbus.ObjectPath) { return jobOf(u["Job"].Value()) }

// jobOf reads the property Job, of the type (uo).
func jobOf(value any) (id uint32, path dbus.ObjectPath) {
	if pair, ok := value.([]any); ok && len(pair) == 2 {
		id, _ = pair[0].(uint32)
		path, _ = pair[1].(dbus.ObjectPath)
	}
	return id, path
}

func (u unitProperties) state(name string) UnitState {
	job, _ := u.job()
	return UnitState{
		Name:           name,
		LoadState:      u.text("LoadState"),
		ActiveState:    u.text("ActiveState"),
		SubState:       u.text("SubState"),
		Result:         u.text("Result"),
		InvocationID:   hex.EncodeToString(valueOf[[]byte](u, "InvocationID")),
		ControlGroup:   u.text("ControlGroup"),
		Slice:          u.text("Slice"),
		Environment:    valueOf[[]string](u, "Environment"),
		TriggeredBy:    valueOf[[]string](u, "TriggeredBy"),
		StatusText:     u.text("StatusText"),
		MainPID:        int(valueOf[uint32](u, "MainPID")),
		ExecMainPID:    int(valueOf[uint32](u, "ExecMainPID")),
		ExecMainCode:   int(valueOf[int32](u, "ExecMainCode")),
		ExecMainStatus: int(valueOf[int32](u, "ExecMainStatus")),
		NRestarts:      valueOf[uint32](u, "NRestarts"),
		Job:            job,
	}
}
