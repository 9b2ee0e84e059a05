package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// Delays between attempts to connect anew: they double from the first to the
// longest.
const (
	firstDelay   = 10 * time.Millisecond
	longestDelay = time.Second
)

// keep makes the connection anew each time it breaks, until Close.
func (b *Bus) keep(c *connection) {
	for {
		select {
		case <-c.Context().Done():
		case <-b.ctx.Done():
		}
		c.Close()
		if b.ctx.Err() != nil {
			b.become(nil, errClosed)
			return
		}
		b.become(nil, errLost)
		b.tell(false, errLost)
		if c = b.reconnect(); c == nil {
			return
		}
		b.tell(true, nil)
	}
}

func (b *Bus) tell(connected bool, err error) {
	if b.options.OnChange != nil {
		b.options.OnChange(connected, err)
	}
}

// reconnect connects until it succeeds, nil when the Bus is closed before.
func (b *Bus) reconnect() *connection {
	delay := firstDelay
	for {
		c, held, err := b.again()
		if err == nil {
			b.adopt(c, held)
			return c
		}
		b.become(nil, err)
		select {
		case <-b.ctx.Done():
			b.become(nil, errClosed)
			return nil
		case <-time.After(delay):
		}
		delay = min(2*delay, longestDelay)
	}
}

// again is one attempt, with the references that the last connection had: the
// manager forgot them with it.
func (b *Bus) again() (*connection, []string, error) {
	c, err := b.connect(b.ctx)
	if err != nil {
		return nil, nil, err
	}
	held, err := c.refer(b.ctx, b.held())
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, held, nil
}

func (b *Bus) connect(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if b.deaf {
		return connect(ctx, b.address, nil)
	}
	return connect(ctx, b.address, b)
}

// joining is how long the first connection may take to come about while the bus
// begins or is being restarted. A user's bus begins with its first client, and
// the user's manager joins it after that.
const joining = 3 * time.Second

// isPassing reports whether a connection may succeed a moment later: the bus has
// no manager yet, or it ended after it had accepted the connection.
func isPassing(err error) bool {
	return isAway(err) || errors.Is(err, errLost) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// join is the first connect.
func (b *Bus) join(ctx context.Context) (*connection, error) {
	deadline := time.Now().Add(joining)
	for {
		c, err := b.connect(ctx)
		if err == nil || !isPassing(err) || time.Now().After(deadline) {
			return c, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// held are the units that references are held on.
func (b *Bus) held() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.refs))
}

// refer takes references on units and answers which of them it got: those that
// are still loaded. It asks about many at once, there may be hundreds.
func (c *connection) refer(ctx context.Context, names []string) (held []string, err error) {
	for some := range slices.Chunk(names, concurrent) {
		var asked []*dbus.Call
		for _, name := range some {
			asked = append(asked, c.manager().GoWithContext(ctx, managerInterface+".RefUnit", dbus.FlagNoAutoStart, make(chan *dbus.Call, 1), name))
		}
		for i, call := range asked {
			err := (<-call.Done).Err
			switch {
			case err == nil:
				held = append(held, some[i])
			case isAway(err) || !isAnyAnswer(err):
				return nil, err
			}
		}
	}
	return held, nil
}

// adopt puts a new connection to use. What was let go meanwhile, or unloaded, is
// held no more.
func (b *Bus) adopt(c *connection, held []string) {
	b.mu.Lock()
	for name := range b.refs {
		if !slices.Contains(held, name) {
			delete(b.refs, name)
		}
	}
	b.mu.Unlock()
	b.become(c, nil)
	b.lookAgain()
}

// become says what the connection is from now on, and why there is none.
func (b *Bus) become(c *connection, lost error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn, b.lost = c, lost
	if c != nil {
		b.version = c.version
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// lookAgain is called when signals may have been lost.
func (b *Bus) lookAgain() {
	b.mu.Lock()
	close(b.gap)
	b.gap = make(chan struct{})
	b.mu.Unlock()
	b.watchers.all()
}

// connected is the connection, waited for if need be.
func (b *Bus) connected(ctx context.Context) (*connection, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		b.mu.Lock()
		c, lost, changed := b.conn, b.lost, b.changed
		b.mu.Unlock()
		if c != nil && c.alive() {
			return c, nil
		}
		if errors.Is(lost, errClosed) {
			return nil, errClosed
		}
		select {
		case <-changed: // also when c is not alive: keep sees that too
		case <-ctx.Done():
			return nil, fmt.Errorf("no connection to systemd: %w", context.Cause(ctx))
		case <-timeout.C:
			return nil, fmt.Errorf("no connection to systemd at %s for %v: %w", b.address, patience, lost)
		}
	}
}

// pause is how long to wait before asking a manager again that has left the bus
// while the bus is there. It comes back with the same or with a new connection.
const pause = 20 * time.Millisecond

// do runs f with the connection, and again with the next one while f fails
// because of it.
func (b *Bus) do(ctx context.Context, f func(*connection) error) error {
	deadline := time.Now().Add(patience)
	for {
		c, err := b.connected(ctx)
		if err != nil {
			return err
		}
		err = f(c)
		if !errors.Is(err, errLost) || time.Now().After(deadline) {
			return err
		}
		if !c.alive() {
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
