package main

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/systemd"
)

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m hearer
		told := make(chan string, 10)
		var stands atomic.Value // the name of the loop that does
		stands.Store("")
		beat := func(name string) loop {
			return loop{name, func(ctx context.Context) error {
				if stands.Load() != name {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}}
		}
		w := watchdog{
			loops: []loop{beat("supervisor"), beat("proxy"), beat("control socket")}, every: time.Second,
			notify: m.notify, hung: func(loop string) { told <- loop },
		}
		go w.run(t.Context())
		if got := m.heard(); !slices.Equal(got, []string{systemd.Alive}) {
			t.Errorf("at first told %q", got)
		}
		for _, l := range w.loops {
			time.Sleep(3 * time.Second)
			if got := m.heard(); len(got) < 2 {
				t.Errorf("before %s stands still: told %q in three seconds, want a sign of life each", l.name, got)
			}
			stands.Store(l.name)
			time.Sleep(1500 * time.Millisecond) // a beat that was on its way
			m.heard()
			time.Sleep(5 * time.Second)
			if got := m.heard(); len(got) > 0 {
				t.Errorf("while %s stands still: told %q", l.name, got)
			}
			stands.Store("")
		}
		for _, l := range w.loops {
			if got := <-told; got != l.name {
				t.Errorf("told that %s stands still, want %s", got, l.name)
			}
		}
		if len(told) > 0 {
			t.Errorf("told again that %s stands still", <-told)
		}
	})
}

// At the end listeners are closed, and then they have no beat.
func TestWatchdogDoesNotMindTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ending := make(chan struct{})
		w := watchdog{
			loops: []loop{{"proxy", func(context.Context) error { close(ending); return net.ErrClosed }}}, every: time.Second, ending: ending,
			notify: func(state string) error { t.Errorf("told %q", state); return nil },
			hung:   func(loop string) { t.Errorf("told that %s stands still", loop) },
		}
		w.run(t.Context())
	})
}
