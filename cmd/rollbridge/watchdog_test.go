package main

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/systemd"
)

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m hearer
		var hung []string
		stands := map[string]bool{}
		beat := func(name string) loop {
			return loop{name, func(ctx context.Context) error {
				if !stands[name] {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}}
		}
		w := watchdog{
			loops: []loop{beat("supervisor"), beat("proxy"), beat("control socket")}, every: time.Second,
			notify: m.notify, hung: func(loop string) { hung = append(hung, loop) },
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
			stands[l.name] = true
			time.Sleep(1500 * time.Millisecond) // a beat that was on its way
			m.heard()
			time.Sleep(5 * time.Second)
			if got := m.heard(); len(got) > 0 {
				t.Errorf("while %s stands still: told %q", l.name, got)
			}
			stands[l.name] = false
		}
		if want := []string{"supervisor", "proxy", "control socket"}; !slices.Equal(hung, want) {
			t.Errorf("told of %q, want each once: %q", hung, want)
		}
	})
}
