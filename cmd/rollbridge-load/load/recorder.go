package load

import (
	"sync"
	"time"
)

const (
	maxSamples  = 20          // failures kept with their details
	aroundAfter = time.Second // how long after an acknowledged switch is still "around" it
)

// A result is one finished request.
type result struct {
	kind           Kind
	started, ended time.Time
	release        string // that answered; "" when none did
	failure        *Failure
}

func (r result) took() time.Duration { return r.ended.Sub(r.started) }

// A recorder collects results. Its methods may be called concurrently.
type recorder struct {
	began time.Time

	mu       sync.Mutex // guards what follows
	requests int64
	kinds    map[Kind]*series
	failures map[Class]int64
	samples  []Failure
	releases map[string]int64
	idle     int64
	sockets  Sockets
	settled  string
	switches []*window
	waiters  []waiter
}

// A series is all requests of one kind.
type series struct {
	micros []uint32 // latencies
	failed int64
}

// A window is the time around one switch.
type window struct {
	name, from, to string
	began, ended   time.Time // ended is zero until acknowledged
	lastOld        time.Time // last quick answer of the release before
	firstNew       time.Time // first quick answer of another one
	slowest        time.Duration
	slowestKind    Kind
	failed         int64
}

type waiter struct {
	requests int64
	reached  chan struct{}
}

func newRecorder() *recorder {
	return &recorder{
		began:    time.Now(),
		kinds:    map[Kind]*series{},
		failures: map[Class]int64{},
		releases: map[string]int64{},
	}
}

func (r *recorder) add(res result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if res.release != "" {
		r.releases[res.release]++
	}
	s := r.kinds[res.kind]
	if s == nil {
		s = &series{}
		r.kinds[res.kind] = s
	}
	s.micros = append(s.micros, uint32(min(res.took().Microseconds(), 1<<32-1)))
	if res.failure != nil {
		s.failed++
	}
	r.noteLocked(res)
	r.wakeLocked()
}

// addSocket is for WebSockets that were held; they are no requests.
func (r *recorder) addSocket(res result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteLocked(res)
}

func (r *recorder) noteLocked(res result) {
	if w := r.windowLocked(res); w != nil {
		w.add(res)
	}
	if res.failure == nil {
		return
	}
	r.failures[res.failure.Class]++
	if len(r.samples) < maxSamples {
		f := *res.failure
		f.Kind, f.At = res.kind, res.ended.UTC().Format("2006-01-02T15:04:05.000Z07:00")
		r.samples = append(r.samples, f)
	}
}

// windowLocked is the switch that a request overlaps, if any.
func (r *recorder) windowLocked(res result) *window {
	if len(r.switches) == 0 {
		return nil
	}
	w := r.switches[len(r.switches)-1]
	if res.ended.Before(w.began) || !w.ended.IsZero() && res.started.After(w.ended.Add(aroundAfter)) {
		return nil
	}
	return w
}

func (w *window) add(res result) {
	if res.failure != nil {
		w.failed++
	}
	if !res.kind.quick() {
		return
	}
	if took := res.took(); took > w.slowest {
		w.slowest, w.slowestKind = took, res.kind
	}
	switch {
	case res.release == "" || w.from == "":
	case res.release == w.from:
		w.lastOld = later(w.lastOld, res.ended)
	case w.firstNew.IsZero() || res.ended.Before(w.firstNew):
		w.firstNew = res.ended
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (r *recorder) beginSwitch(name string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.switches = append(r.switches, &window{name: name, from: r.settled, began: now})
}

// endSwitch ends the last window; no release means that nothing was moved.
func (r *recorder) endSwitch(release string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if release != "" {
		r.settled = release
	}
	if n := len(r.switches); n > 0 && r.switches[n-1].ended.IsZero() {
		r.switches[n-1].ended, r.switches[n-1].to = now, release
	}
}

func (r *recorder) idleClosed()    { r.count(func() { r.idle++ }) }
func (r *recorder) socketOpened()  { r.count(func() { r.sockets.Held++ }) }
func (r *recorder) socketEcho()    { r.count(func() { r.sockets.Echoes++ }) }
func (r *recorder) socketDrained() { r.count(func() { r.sockets.Drained++ }) }

func (r *recorder) count(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what()
}

func (r *recorder) counts() (requests, failed int64) {
	r.count(func() { requests, failed = r.requests, r.failedLocked() })
	return requests, failed
}

func (r *recorder) failedLocked() (n int64) {
	for _, of := range r.failures {
		n += of
	}
	return n
}

// reached is closed when n requests have been recorded.
func (r *recorder) reached(n int64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := waiter{n, make(chan struct{})}
	r.waiters = append(r.waiters, w)
	r.wakeLocked()
	return w.reached
}

func (r *recorder) wakeLocked() {
	waiting := r.waiters[:0]
	for _, w := range r.waiters {
		if r.requests >= w.requests {
			close(w.reached)
			continue
		}
		waiting = append(waiting, w)
	}
	r.waiters = waiting
}
