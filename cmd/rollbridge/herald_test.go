package main

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/systemd"
)

// hearer is the service manager of a test.
type hearer struct {
	mu   sync.Mutex
	said []string
}

func (m *hearer) notify(state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, state)
	return nil
}

// heard takes what was said so far.
func (m *hearer) heard() []string {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	said := m.said
	m.said = nil
	return said
}

func TestHerald(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m hearer
		var line atomic.Value
		line.Store("shop: taking up what runs")
		changed, ending := make(chan struct{}, 1), make(chan struct{})
		h := &herald{
			line: func() string { return line.Load().(string) }, changed: changed, ending: ending,
			start: 12 * time.Second, end: 7 * time.Second,
			notify: m.notify, failed: func(err error) { t.Error(err) }, ready: make(chan struct{}),
		}
		go h.run(t.Context())
		patience := systemd.Patience(patienceMore)
		expect := func(when string, want ...string) {
			t.Helper()
			if got := m.heard(); !slices.Equal(got, want) {
				t.Errorf("%s: told %q, want %q", when, got, want)
			}
		}
		expect("at the start", patience, "STATUS="+line.Load().(string))
		time.Sleep(2*freshly + time.Second)
		expect("a start that takes long", patience, patience)
		time.Sleep(2 * freshly)
		expect("a start that takes too long")

		close(h.ready)
		expect("ready", "READY=1")
		time.Sleep(10 * freshly)
		expect("nothing happens")
		line.Store("shop: v42\nactive 1 min")
		changed <- struct{}{}
		expect("a change", "STATUS=shop: v42 active 1 min")
		line.Store("shop: v42 active 2 min")
		time.Sleep(freshly)
		expect("a change by itself", "STATUS="+line.Load().(string))
		done := h.reloading()
		done()
		if got := m.heard(); len(got) != 2 || !strings.HasPrefix(got[0], "RELOADING=1\nMONOTONIC_USEC=") || got[1] != "READY=1" {
			t.Errorf("a new configuration: told %q", got)
		}

		close(ending)
		expect("the end begins", "STOPPING=1", patience)
		time.Sleep(3 * freshly)
		expect("the end takes too long", patience)
	})
}

func TestHeraldTellsOnceThatItCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changed := make(chan struct{}, 1)
		var failed, n atomic.Int32
		h := &herald{
			line: func() string { return strings.Repeat("x", int(n.Add(1))) }, changed: changed,
			notify: func(string) error { return errors.New("no room") },
			failed: func(error) { failed.Add(1) },
		}
		go h.run(t.Context())
		for range 3 {
			changed <- struct{}{}
			synctest.Wait()
		}
		if failed.Load() != 1 || n.Load() < 4 {
			t.Errorf("told %d times that %d messages did not arrive, want once", failed.Load(), n.Load())
		}
	})
}
