// Package systemd speaks with systemd: its manager over D-Bus, its journal, and
// the notification socket. It knows nothing of releases.
//
// A Bus outlives the connection it stands on. Signals mean "look again" and
// nothing more: what is so is read from the manager, and after a gap in the
// signals (a new connection, a manager that executed itself anew, a reload)
// everyone who waits or watches looks again. So nothing depends on a signal
// that may have been lost.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// patience is how long a call waits for the connection to come back, and how
// long the manager may take for an answer; a context may end it earlier. It is
// long, since a manager that reloads answers nobody, for seconds when it has
// many units.
const patience = time.Minute

// Options say which manager is meant, and who is told about the connection.
type Options struct {
	User bool // the manager of the calling user, else the system's

	// OnChange, if set, is told when an established connection is lost, with
	// the reason, and when it is there again. Calls come one at a time, and
	// nothing is done about the connection until they return.
	OnChange func(connected bool, err error)
}

// Bus is the connection to a service manager; it is made anew when it breaks.
// Its methods may be called concurrently.
//
// A call made while there is no connection waits for it. A call that the
// connection breaks under is made again on the next one, after a look at what
// came of it where a second time would not be the same as once.
//
// Where there is no message bus the manager's private socket is used. It knows
// no references on units: Ref and Unref do nothing there, and AddRef is left
// out.
type Bus struct {
	options  Options
	address  address
	deaf     bool               // hears no signals
	ctx      context.Context    // ends with Close
	end      context.CancelFunc // ends ctx
	keeping  sync.WaitGroup     // the goroutine that keeps the connection
	jobs     jobs
	watchers watchers

	mu      sync.Mutex // guards what follows; held for memory only
	conn    *connection
	lost    error           // why conn is nil
	version int             // of the last connection
	changed chan struct{}   // closed, and replaced, when conn changes
	gap     chan struct{}   // closed, and replaced, when signals may have been lost
	refs    map[string]bool // units that the connection holds a reference on
}

var errClosed = errors.New("the connection to systemd is closed")

// Dial connects. It waits, for a moment, only for a bus that begins or is being
// restarted, and for the manager to join it.
func Dial(ctx context.Context, opt Options) (*Bus, error) {
	return dial(ctx, opt, false)
}

// ReadUnit asks one question, as Bus.Unit does, without listening to signals;
// for programs with nothing else to ask.
func ReadUnit(ctx context.Context, opt Options, name string) (UnitState, error) {
	b, err := dial(ctx, opt, true)
	if err != nil {
		return UnitState{}, err
	}
	defer b.Close()
	return b.Unit(ctx, name)
}

// LoadUnit is ReadUnit for a unit that need not be loaded: it is now, if there is
// a file of it. Its LoadState tells one that is masked or that has a bad setting.
func LoadUnit(ctx context.Context, opt Options, name string) (state UnitState, err error) {
	b, err := dial(ctx, opt, true)
	if err != nil {
		return UnitState{}, err
	}
	defer b.Close()
	err = b.do(ctx, func(c *connection) error {
		unit, err := c.load(ctx, name)
		state = unit.state(name)
		return err
	})
	return state, about("look at", name, err)
}

// ResetUnit is Bus.ResetFailed for programs with nothing else to ask.
func ResetUnit(ctx context.Context, opt Options, name string) error {
	b, err := dial(ctx, opt, true)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.ResetFailed(ctx, name)
}

func newBus(opt Options) *Bus {
	b := &Bus{options: opt, changed: make(chan struct{}), gap: make(chan struct{}), refs: map[string]bool{}}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b
}

func dial(ctx context.Context, opt Options, deaf bool) (*Bus, error) {
	b := newBus(opt)
	b.deaf = deaf
	var failed []error
	for _, where := range addresses(opt.User) {
		b.address = where
		c, err := b.join(ctx)
		if err == nil {
			b.become(c, nil)
			b.keeping.Go(func() { b.keep(c) })
			return b, nil
		}
		failed = append(failed, fmt.Errorf("connect to systemd at %s: %w", where, err))
	}
	b.end()
	return nil, errors.Join(failed...)
}

// Close ends the connection, and with it every reference held on units. Calls
// under way fail. It is not to be called by OnChange.
func (b *Bus) Close() {
	b.end()
	b.keeping.Wait()
}

// Version is the manager's major version, as it was when the connection was
// made: a manager upgraded since knows at least as much.
func (b *Bus) Version() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}
