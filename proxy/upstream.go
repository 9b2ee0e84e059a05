package proxy

import (
	"context"
	"sync"
	"time"
)

// An Upstream is where one release answers. It counts what is open on it. Its
// methods may be called concurrently.
type Upstream struct {
	name, addr string
	transports
	tunnels tunnels

	mu        sync.Mutex // guards what follows
	open      Open
	retained  int
	retired   bool          // no longer active: enter fails
	suspended bool          // its process is down: requests wait
	again     chan struct{} // closed when a failed enter is worth another try
	empty     chan struct{} // closed when nothing is open; nil while nobody waits
}

// Open is what is open on an upstream: requests whose answer has not ended, and
// WebSockets of which one end is still open.
type Open struct{ HTTP, WebSocket int }

// kind is how a request is counted.
type kind int

const (
	plain kind = iota
	webSocket
)

// NewUpstream makes the upstream of a release; name is told in errors, addr is
// host:port.
func NewUpstream(name string, addr string) *Upstream {
	return &Upstream{name: name, addr: addr, transports: newTransports(), again: make(chan struct{})}
}

// Open is what is open now, without what only Retain counts.
func (u *Upstream) Open() Open {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open
}

// enter counts a request, or returns a channel that is closed when the caller
// should look again which upstream is active.
func (u *Upstream) enter(k kind) (again <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.retired || u.suspended {
		return u.again
	}
	*u.countLocked(k)++
	return nil
}

// leave ends what enter has begun.
func (u *Upstream) leave(k kind) {
	u.mu.Lock()
	*u.countLocked(k)--
	u.settleLocked()
	done := u.retired && u.idleLocked()
	u.mu.Unlock()
	if done {
		u.closeIdle()
	}
}

func (u *Upstream) countLocked(k kind) *int {
	if k == webSocket {
		return &u.open.WebSocket
	}
	return &u.open.HTTP
}

// Retain counts the upstream as in use, for the given reason, until release is
// called; calling release again is harmless.
func (u *Upstream) Retain(reason string) (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.retained++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.retained--
		u.settleLocked()
	})
}

// Drain waits until nothing is open, nor retained. When ctx ends first it
// returns the cause. Call it on an upstream that Switch has replaced, else new
// requests keep it open.
func (u *Upstream) Drain(ctx context.Context) error {
	if brokenSwitch {
		return nil
	}
	for {
		empty := u.whenEmpty()
		if empty == nil {
			return nil
		}
		select {
		case <-empty:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// whenEmpty is closed when nothing is open any more; nil when nothing is now.
func (u *Upstream) whenEmpty() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.idleLocked() {
		return nil
	}
	if u.empty == nil {
		u.empty = make(chan struct{})
	}
	return u.empty
}

func (u *Upstream) idleLocked() bool { return u.open == Open{} && u.retained == 0 }

// settleLocked tells those who wait in Drain when nothing is open any more.
func (u *Upstream) settleLocked() {
	if u.empty != nil && u.idleLocked() {
		close(u.empty)
		u.empty = nil
	}
}

// Suspend lets requests wait: the process behind the upstream is down, or about
// to be. Requests that were sent go on.
func (u *Upstream) Suspend() {
	u.mu.Lock()
	u.suspended = true
	u.mu.Unlock()
	u.closeIdle()
}

// Suspended reports whether requests wait.
func (u *Upstream) Suspended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.suspended
}

// Resume lets the waiting requests go on: the process answers again.
func (u *Upstream) Resume() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.suspended = false
	u.wakeLocked()
}

// admit prepares the upstream for being active.
func (u *Upstream) admit() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.retired = false
	u.wakeLocked()
	u.tunnels.stay()
}

// retire turns new requests away, back to the proxy's choice.
func (u *Upstream) retire() {
	u.mu.Lock()
	u.retired = true
	close(u.again) // and stays closed until admit
	idle := u.idleLocked()
	u.mu.Unlock()
	if idle {
		u.closeIdle()
	}
}

// wakeLocked sends those who wait to look again. A retired upstream's channel
// is closed already.
func (u *Upstream) wakeLocked() {
	select {
	case <-u.again:
	default:
		close(u.again)
	}
	if !u.retired {
		u.again = make(chan struct{})
	}
}

// CloseWebSockets ends every WebSocket with a Close frame, "service restart"
// (1012), in both directions, at moments spread at random over spread. It
// returns when they are gone, which is a few seconds after spread at the latest:
// a peer that stays in the middle of a frame, or does not answer, is cut.
func (u *Upstream) CloseWebSockets(spread time.Duration) { u.tunnels.closeAll(spread) }
