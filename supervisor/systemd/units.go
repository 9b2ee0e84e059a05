package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// ignoreDependencies is the job mode of every stop and restart: a job of ours
// shall not wait for one of the daemon's own unit, which is ordered against it
// (Before=) and may be stopping just now, waiting for us. On 252 and 257 such a
// job takes milliseconds, with mode "replace" as long as the daemon's stop.
const ignoreDependencies = "ignore-dependencies"

// StartTransient makes and starts a unit, and waits for its job. ErrExists, a
// *JobError, or why it could not be asked for. When ctx ends first, the start
// goes on.
//
// With the property AddRef the unit is held as by Ref, also if its job fails.
//
// When the connection breaks before the manager has answered, a transient unit
// of that name that was started since the call is taken for the one asked for;
// with none, it is asked for again.
func (b *Bus) StartTransient(ctx context.Context, name string, settings []Property) error {
	values, err := encodeProperties(settings)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	hold := slices.ContainsFunc(settings, func(p Property) bool { return p.Name == addRef && p.Value == true })
	asked, again := monotonic(), false
	return b.run(ctx, start, name, func(c *connection) (dbus.ObjectPath, error) {
		if again {
			job, begun, err := c.begun(ctx, name, asked)
			if begun && hold {
				err = b.ref(ctx, c, name)
			}
			if begun || err != nil {
				return job, err
			}
		}
		again = true
		job, err := c.startTransient(ctx, name, values)
		if err == nil && hold {
			err = b.noteRef(c, name)
		}
		return job, err
	})
}

// addRef is the property that holds a new unit from its beginning. Over the
// private socket it is an invalid argument.
const addRef = "AddRef"

func (c *connection) startTransient(ctx context.Context, name string, settings []setting) (dbus.ObjectPath, error) {
	if c.direct {
		settings = slices.DeleteFunc(slices.Clone(settings), func(s setting) bool { return s.Name == addRef })
	}
	var noAuxiliaryUnits []struct {
		Name     string
		Settings []setting
	}
	return c.job(ctx, "StartTransientUnit", name, "fail", settings, noAuxiliaryUnits)
}

// Start starts a unit that has a file, after what it requires, and waits for its
// job: one that runs is done at once. ErrNoUnit, ErrDenied, a *JobError, or why it
// could not be asked for. When ctx ends first, the start goes on.
func (b *Bus) Start(ctx context.Context, name string) error {
	return b.run(ctx, start, name, func(c *connection) (dbus.ObjectPath, error) {
		return c.job(ctx, "StartUnit", name, "replace")
	})
}

// StopInOrder stops a unit together with those that are part of it or require it,
// and waits for the job. A unit that is not loaded is no error; ErrDenied, a
// *JobError, or why it could not be asked for.
func (b *Bus) StopInOrder(ctx context.Context, name string) error {
	err := b.run(ctx, stop, name, func(c *connection) (dbus.ObjectPath, error) {
		return c.job(ctx, "StopUnit", name, "replace")
	})
	return unlessGone(err)
}

// Restart starts a loaded unit at once, also one that waits for its restart or
// has given up; it is stopped before if it runs. It waits for the job: ErrNoUnit,
// a *JobError, or why it could not be asked for. When the connection breaks
// before the manager has answered, it is asked for again unless the unit was
// started since the call.
func (b *Bus) Restart(ctx context.Context, name string) error {
	asked, again := monotonic(), false
	return b.run(ctx, restart, name, func(c *connection) (dbus.ObjectPath, error) {
		if again {
			if job, begun, err := c.begun(ctx, name, asked); begun || err != nil {
				return job, err
			}
		}
		again = true
		return c.job(ctx, "RestartUnit", name, ignoreDependencies)
	})
}

// Stop stops a unit and waits for its job, past any ordering against other
// units' jobs. A unit that is not loaded is no error.
func (b *Bus) Stop(ctx context.Context, name string) error {
	err := b.run(ctx, stop, name, func(c *connection) (dbus.ObjectPath, error) {
		return c.job(ctx, "StopUnit", name, ignoreDependencies)
	})
	return unlessGone(err)
}

// StopLater asks for a unit to be stopped and does not wait for it: it may be the
// caller's own.
func (b *Bus) StopLater(ctx context.Context, name string) error {
	return unlessGone(b.tellUnit(ctx, "stop", name, "StopUnit", name, "replace"))
}

// ResetFailed clears the failed state and the start counter; not loaded is no
// error. A unit that nothing holds is unloaded by it.
func (b *Bus) ResetFailed(ctx context.Context, name string) error {
	return unlessGone(b.tellUnit(ctx, "reset", name, "ResetFailedUnit", name))
}

// Kill sends a signal to all processes of a unit; one without any is no error,
// one that is not loaded is ErrNoUnit.
// When the connection breaks before the manager has answered, it is sent again:
// rather twice than never.
func (b *Bus) Kill(ctx context.Context, name string, sig syscall.Signal) error {
	return b.tellUnit(ctx, "signal", name, "KillUnit", name, "all", int32(sig))
}

// Ref keeps a unit loaded as long as this connection lives; the Bus refers again
// after it had to reconnect, if the unit is loaded then. Doing it twice is doing
// it once. Unref lets it go; a unit not loaded or not held is no error.
func (b *Bus) Ref(ctx context.Context, name string) error {
	err := b.do(ctx, func(c *connection) error { return b.ref(ctx, c, name) })
	return about("hold", name, err)
}

func (b *Bus) ref(ctx context.Context, c *connection, name string) error {
	if c.direct || b.holds(c, name) {
		return nil
	}
	if _, err := c.on(ctx, "RefUnit", name); err != nil {
		return err
	}
	return b.noteRef(c, name)
}

// holds reports whether a connection holds a reference on a unit.
func (b *Bus) holds(c *connection, name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn == c && b.refs[name]
}

// noteRef remembers a reference for the connections to come; on one that was
// replaced meanwhile it is gone already.
func (b *Bus) noteRef(c *connection, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != c {
		return errLost
	}
	if !c.direct {
		b.refs[name] = true
	}
	return nil
}

// Unref: see Ref.
func (b *Bus) Unref(ctx context.Context, name string) error {
	b.mu.Lock()
	delete(b.refs, name)
	b.mu.Unlock()
	err := b.do(ctx, func(c *connection) error { return c.unref(ctx, name) })
	return about("let go", name, err)
}

// unref lets go of a unit for good: the manager counts, and a reference whose
// answer was lost counts too. One that is gone already went with a connection,
// and a manager whose bus broke forgets references without unloading what they
// held: so it is taken once more, and let go.
func (c *connection) unref(ctx context.Context, name string) error {
	if c.direct {
		return nil
	}
	for first := true; ; first = false {
		_, err := c.on(ctx, "UnrefUnit", name)
		if first && isAnswer(err, notReferenced) {
			_, err = c.on(ctx, "RefUnit", name)
		}
		if isAnswer(err, notReferenced) || isAnswer(err, noUnit) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tellUnit calls a method about a unit that may as well be called twice.
func (b *Bus) tellUnit(ctx context.Context, verb, name, method string, args ...any) error {
	err := b.do(ctx, func(c *connection) error {
		_, err := c.on(ctx, method, args...)
		return err
	})
	return about(verb, name, err)
}

// job calls a method that queues a job.
func (c *connection) job(ctx context.Context, method string, args ...any) (job dbus.ObjectPath, err error) {
	call, err := c.on(ctx, method, args...)
	if err != nil {
		return "", err
	}
	return job, call.Store(&job)
}

// begun reports whether a unit was started, or is about to be, since a time of
// CLOCK_MONOTONIC in microseconds; job is "" if that is over.
func (c *connection) begun(ctx context.Context, name string, since uint64) (job dbus.ObjectPath, begun bool, err error) {
	unit, err := c.unit(ctx, name)
	if errors.Is(err, ErrNoUnit) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if id, path := unit.job(); id != 0 {
		kind, err := c.jobType(ctx, path)
		if err != nil || kind == "start" || kind == "restart" {
			return path, err == nil, err
		}
	}
	return "", unit.number("InactiveExitTimestampMonotonic") >= since, nil
}

// monotonic is CLOCK_MONOTONIC in microseconds, as the manager stamps units.
func monotonic() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // every Linux has it
	}
	return uint64(now.Nano() / 1000)
}

// about says in an error what was tried.
func about(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, name, inWords(err))
}

// unlessGone takes a unit that is not loaded for what was wanted.
func unlessGone(err error) error {
	if errors.Is(err, ErrNoUnit) {
		return nil
	}
	return err
}
