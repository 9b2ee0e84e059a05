package main

import (
	"context"
	"time"

	"rollbridge/supervisor/systemd"
)

// A loop is a part of the daemon that must never stand still. Its beat returns
// when it has made a step, or with the error of the context.
type loop struct {
	name string
	beat func(context.Context) error
}

// A watchdog feeds the one of the service manager (WatchdogSec= in
// systemd.service(5)) as long as every loop goes on: the lock that all commands
// take, and the accept loops. A daemon that hangs is then ended, which makes it
// write down what it was doing, and started anew. That it has no descriptors
// left, or more clients than it can take, is no standstill.
type watchdog struct {
	loops  []loop
	every  time.Duration
	ending <-chan struct{} // the end begins, in which loops end
	notify func(string) error
	hung   func(loop string) // told when a loop begins to stand still
}

// feedWatchdog feeds it until ctx ends, or the end of the daemon begins, if the
// service manager expects that. hung is told when a loop begins to stand still.
func feedWatchdog(ctx context.Context, ending <-chan struct{}, loops []loop, notify func(string) error, hung func(loop string)) {
	limit := systemd.WatchdogLimit()
	if limit <= 0 {
		return
	}
	w := watchdog{loops: loops, every: limit / 4, ending: ending, notify: notify, hung: hung}
	w.run(ctx)
}

// loops are the parts of this daemon that must go on.
func (d *daemon) loops() []loop {
	loops := []loop{{"supervisor", d.supervisor.Beat}, {"control socket", d.controlListener.Beat}}
	for _, l := range d.proxyListeners {
		loops = append(loops, loop{"proxy at " + l.Address(), l.Beat})
	}
	return loops
}

// run feeds until ctx ends, or the end begins.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	told := ""
	for {
		hung := w.standing(ctx)
		select {
		case <-w.ending: // it may have been a loop that has ended
			return
		case <-ctx.Done():
			return
		default:
		}
		if hung == "" {
			w.notify(systemd.Alive) // one that is lost is followed by another
		} else if hung != told {
			w.hung(hung)
		}
		told = hung
		select {
		case <-tick.C:
		case <-w.ending:
			return
		case <-ctx.Done():
			return
		}
	}
}

// standing names the first loop that makes no step in time, "" for none.
func (w *watchdog) standing(ctx context.Context) string {
	for _, l := range w.loops {
		ctx, cancel := context.WithTimeout(ctx, w.every)
		err := l.beat(ctx)
		cancel()
		if err != nil {
			return l.name
		}
	}
	return ""
}
