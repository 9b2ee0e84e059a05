// Package load puts HTTP and WebSocket load on a proxy and counts every
// failure a client would see.
//
// It is a raw client: it writes its own requests on its own connections and
// never sends one a second time, so that nothing that goes wrong can hide
// behind a retry. What it asks for are the paths of examples/shop.
//
// Whoever drives it tells it about switches: Switching before a deploy begins,
// Settled when the deploy has answered. From then on an answer of any other
// release is a failure.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where the load goes and how much there is of it. Zero values
// mean the default in brackets.
type Options struct {
	Target  string        // host:port of the proxy
	Remote  bool          // allow a target that is not loopback
	Clients int           // request loops at the same time [8]
	Rate    int           // requests per second over all clients [no limit]
	Sockets int           // WebSockets held open on each release [none]
	Drain   time.Duration // how long a retired release keeps its WebSockets, at least
	Timeout time.Duration // of one request [15 s]

	MaxRequests int64         // the load ends by itself after so many [10 million]
	MaxTime     time.Duration // or after this long [1 h]
}

func (o *Options) setDefaults() {
	o.Clients = orDefault(o.Clients, 8)
	o.Timeout = orDefault(o.Timeout, 15*time.Second)
	o.MaxRequests = orDefault(o.MaxRequests, 10_000_000)
	o.MaxTime = orDefault(o.MaxTime, time.Hour)
}

func orDefault[T int | int64 | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

func (o *Options) check() error {
	host, _, err := net.SplitHostPort(o.Target)
	if err != nil {
		return fmt.Errorf("target %q: give host:port", o.Target)
	}
	if ip := net.ParseIP(host); o.Remote || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("target %q is not this machine: allow it with -remote if it is yours", o.Target)
}

// A Load is running load. Its methods may be called concurrently.
type Load struct {
	opt   Options
	rec   *recorder
	epoch atomic.Pointer[epoch]
	began atomic.Int64 // requests

	ctx    context.Context // ends everything, also what is under way
	cancel context.CancelFunc
	ended  chan struct{} // closed: nothing new begins any more

	mu    sync.Mutex // guards what follows
	round *round     // the last one
	runs  bool       // the round has not been ended
	over  bool
}

// A round is the load between Start or Resume and Pause or the end.
type round struct {
	quit chan struct{} // closed: begin nothing new, close what is held
	all  sync.WaitGroup
}

// An epoch is the time between two calls of Settled, in which one release has
// to answer.
type epoch struct {
	release string       // "" is any
	left    atomic.Int64 // when the switch away from it began, Unix nanoseconds; 0 is not yet
}

// Start begins the load. It ends by Stop, by its bounds, or with ctx.
func Start(ctx context.Context, opt Options) (*Load, error) {
	opt.setDefaults()
	if err := opt.check(); err != nil {
		return nil, err
	}
	l := newLoad(opt)
	l.ctx, l.cancel = context.WithTimeout(ctx, opt.MaxTime)
	l.Resume()
	context.AfterFunc(l.ctx, func() { l.end() })
	return l, nil
}

func newLoad(opt Options) *Load {
	l := &Load{opt: opt, rec: newRecorder(), ended: make(chan struct{})}
	l.epoch.Store(&epoch{})
	return l
}

// Resume goes on after Pause.
func (l *Load) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.runs {
		return
	}
	r := &round{quit: make(chan struct{})}
	l.round, l.runs = r, true
	for n := range l.opt.Clients {
		r.all.Go(func() { l.newClient(n, r).run(l.ctx) })
	}
	l.holdLocked(l.epoch.Load())
}

// Pause lets what is under way finish, closes every connection, and returns
// when none is left.
func (l *Load) Pause() { l.endRound(false).all.Wait() }

// endRound makes everybody finish; whoever wants to waits for the round.
func (l *Load) endRound(forGood bool) *round {
	l.mu.Lock()
	defer l.mu.Unlock()
	if forGood && !l.over {
		l.over = true
		close(l.ended)
	}
	if l.runs {
		l.runs = false
		close(l.round.quit)
	}
	return l.round
}

// Switching says that traffic is about to be moved; name is for the report.
// Answers of any release are right until Settled.
func (l *Load) Switching(name string) {
	now := time.Now()
	l.rec.beginSwitch(name, now)
	l.epoch.Swap(&epoch{}).left.Store(now.UnixNano())
}

// Settled says that release answers from now on, and opens the WebSockets that
// are held on it.
func (l *Load) Settled(release string) {
	l.rec.endSwitch(release, time.Now())
	e := &epoch{release: release}
	l.epoch.Store(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holdLocked(e)
}

// holdLocked opens the WebSockets that are held on the release of e.
func (l *Load) holdLocked(e *epoch) {
	if !l.runs || e.release == "" {
		return
	}
	for range l.opt.Sockets {
		r := l.round
		r.all.Go(func() { l.hold(e, r.quit) })
	}
}

// Attempt says that a deploy begins which must not move traffic; name is for
// the report. What had to answer before has to answer now.
func (l *Load) Attempt(name string) { l.rec.beginSwitch(name, time.Now()) }

// Refused says that the attempt is over.
func (l *Load) Refused() { l.rec.endSwitch("", time.Now()) }

// Count is how many requests have been answered and how many things failed.
func (l *Load) Count() (requests, failed int64) { return l.rec.counts() }

// Reached waits until n requests have been answered, or the load has ended.
func (l *Load) Reached(ctx context.Context, n int64) error {
	select {
	case <-l.rec.reached(n):
		return nil
	case <-l.ended:
		return errors.New("the load ended by itself: it reached its bound of requests or time")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ended is closed when nothing new is begun any more: after Stop, at a bound,
// or at the end of Start's context.
func (l *Load) Ended() <-chan struct{} { return l.ended }

// Stop lets what is under way finish, closes everything and reports.
func (l *Load) Stop() Report {
	l.end().all.Wait()
	l.cancel()
	return l.rec.report()
}

func (l *Load) end() *round { return l.endRound(true) }

// begin counts a request, or says that there may be no further one.
func (l *Load) begin(r *round) bool {
	select {
	case <-r.quit:
		return false
	default:
	}
	if l.began.Add(1) > l.opt.MaxRequests {
		l.end()
		return false
	}
	return true
}
