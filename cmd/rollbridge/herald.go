package main

import (
	"context"
	"sync"
	"time"

	"rollbridge/supervisor/systemd"
)

const (
	// freshly is how often the status line is looked at when nothing happens:
	// counts and ages in it change by themselves.
	freshly = 5 * time.Second
	// patienceMore is how much longer the service manager is asked to wait each
	// time; it is asked every freshly.
	patienceMore = 3 * freshly
	// slack is what a start or an end may take beyond what the configuration
	// gives it.
	slack = 10 * time.Second
)

// A herald tells the service manager how the daemon is, as sd_notify(3) has it:
// ready, stopping, and a line that `systemctl status` shows. While a start or an
// end takes long it asks for patience, up to the bound of that, so that a daemon
// that hangs is noticed all the same. Without a manager it says all that to
// nobody.
type herald struct {
	line    func() string   // the status
	changed <-chan struct{} // the line may have changed
	ending  <-chan struct{} // the end begins
	start   time.Duration   // how long the start may take, and
	end     time.Duration   // the end
	notify  func(string) error
	failed  func(error) // told of the first message that did not arrive

	ready chan struct{} // closed when the start is done
	said  string        // the last line
	deaf  sync.Once     // failed is told
}

// newHerald makes the one of this daemon.
func (d *daemon) newHerald() *herald {
	return &herald{
		line: d.supervisor.Line, changed: d.supervisor.Changed(), ending: d.supervisor.Ending(),
		start: d.config.ResumeTimeout + slack, end: d.config.ShutdownTimeout + slack,
		notify: d.notifier.Tell,
		failed: func(err error) { d.note("service manager not told", map[string]any{"error": err.Error()}) },
		ready:  make(chan struct{}),
	}
}

// run tells until ctx ends.
func (h *herald) run(ctx context.Context) {
	look := time.NewTicker(freshly)
	defer look.Stop()
	patient := time.Now().Add(h.start) // until when patience is asked for
	ready, ending := h.ready, h.ending
	h.tell(systemd.Patience(patienceMore))
	for {
		h.tellLine()
		select {
		case <-h.changed:
			continue
		case <-ready:
			ready, patient = nil, time.Time{}
			h.tell(systemd.Ready)
			continue
		case <-ending:
			ending, ready, patient = nil, nil, time.Now().Add(h.end)
			h.tell(systemd.Stopping)
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if time.Now().Before(patient) {
			h.tell(systemd.Patience(patienceMore))
		}
	}
}

// tellLine says the status if it is another one.
func (h *herald) tellLine() {
	if line := h.line(); line != h.said {
		h.said = line
		h.tell(systemd.Status(line))
	}
}

// reloading says that a configuration is being taken over; done, that it was.
func (h *herald) reloading() (done func()) {
	h.tell(systemd.Reloading())
	return func() { h.tell(systemd.Ready) }
}

func (h *herald) tell(state string) {
	if err := h.notify(state); err != nil {
		h.deaf.Do(func() { h.failed(err) })
	}
}
