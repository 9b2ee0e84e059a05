package nginx

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rollbridge/cmd/rollbridge-load/load"
)

// clients ask at the same time in a load.
const clients = 8

// underLoad begins a load that goes through nginx; with sockets it holds
// WebSockets on each release, too.
func (s *site) underLoad(t *testing.T, sockets int) *load.Load {
	t.Helper()
	l, err := load.Start(t.Context(), load.Options{
		Target: fmt.Sprintf("%s:%d", host, s.port), Remote: true, // the name is that of this machine
		Clients: clients, Rate: 400, Sockets: sockets, Drain: 1500 * time.Millisecond, Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop() })
	return l
}

// answered waits for n more answers.
func answered(t *testing.T, l *load.Load, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	so, _ := l.Count()
	if err := l.Reached(ctx, so+n); err != nil {
		t.Fatal(err)
	}
}

// nothingFailed checks the report of a load.
func nothingFailed(t *testing.T, r load.Report) {
	t.Helper()
	var table strings.Builder
	r.WriteTable(&table)
	if r.Failed > 0 {
		t.Errorf("%d failed\n%s", r.Failed, &table)
	} else {
		t.Logf("%d requests, 0 failed; %d WebSockets held, %d of them closed after the drain", r.Requests, r.Sockets.Held, r.Sockets.Drained)
	}
}

// quiet notes what nginx has logged; the check, that it has not logged more.
func (s *site) quiet(t *testing.T) (check func()) {
	before := len(s.said(t))
	return func() {
		t.Helper()
		if more := s.said(t)[before:]; more != "" {
			t.Errorf("nginx logs\n%s", more)
		}
	}
}

func TestDeploysAndRollbacksLoseNothing(t *testing.T) {
	for s, in := range map[*site]*instance{shipped: shop, unixSocket: overUds} {
		quiet := s.quiet(t)
		l := s.underLoad(t, 2)
		l.Settled("v1")
		for i, step := range []string{"v2", "v3", "rollback", "v4", "rollback"} {
			answered(t, l, 100)
			l.Switching(step)
			var err error
			if step == "rollback" {
				err = in.cli("rollback", "--wait")
			} else {
				err = in.deploy(step)
			}
			if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			l.Settled(in.active(t).ReleaseID)
		}
		answered(t, l, 100)
		r := l.Stop()
		nothingFailed(t, r)
		if len(r.Releases) < 4 || r.Sockets.Held < 4 {
			t.Errorf("the load has met %v, and held %d WebSockets", r.Releases, r.Sockets.Held)
		}
		quiet()
		if err := in.deploy("v1"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestartsOfTheDaemonLoseNothing(t *testing.T) {
	for s, in := range map[*site]*instance{shipped: shop, unixSocket: overUds} {
		web, quiet := in.webPID(t), s.quiet(t)
		l := s.underLoad(t, 0)
		for range 4 {
			answered(t, l, 50)
			command(t, "systemctl", "restart", in.unit())
		}
		answered(t, l, 50)
		nothingFailed(t, l.Stop())
		quiet()
		if now := in.webPID(t); now != web {
			t.Errorf("the web process was %d, is %d", web, now)
		}
	}
}

// TestKilledDaemonCutsOnlyWhatItServes kills the daemon: what it was forwarding
// and may not be repeated is lost, nobody else notices.
func TestKilledDaemonCutsOnlyWhatItServes(t *testing.T) {
	const kills = 6
	for s, in := range map[*site]*instance{shipped: shop, unixSocket: overUds} {
		web, before := in.webPID(t), len(s.said(t))
		l := s.underLoad(t, 0)
		for range kills {
			answered(t, l, 80)
			kill(t, mainPID(t, in.unit()))
		}
		answered(t, l, 80)
		r := l.Stop()
		t.Logf("%s: %d requests, %d failed at %d kills: %v", s.name, r.Requests, r.Failed, kills, r.Failures)
		if r.Failed > kills*clients {
			t.Errorf("%d failed, more than were under way", r.Failed)
		}
		for _, f := range r.Samples {
			switch begun := f.Class == load.EOFMidBody || f.Class == load.Reset || f.Class == load.SocketCut; {
			case begun, f.Kind == load.Post, f.Kind == load.Chunked, f.Kind == load.Socket:
			default:
				t.Errorf("failed though it could be repeated: %v", &f)
			}
		}
		for line := range strings.Lines(s.said(t)[before:]) {
			if strings.Contains(line, "connect() ") || strings.Contains(line, "no live upstreams") {
				t.Errorf("nginx logs %s", line)
			}
		}
		if now := in.webPID(t); now != web {
			t.Errorf("the web process was %d, is %d", web, now)
		}
	}
	os.Stdout.Sync()
}
