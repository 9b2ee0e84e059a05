package nginx

import (
	"context"
	"fmt"
	"io"
	"net/http"
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

// overBoth runs a test on both ways from nginx to rollbridge at the same time.
func overBoth(t *testing.T, test func(t *testing.T, s *site)) {
	for _, s := range both {
		t.Run(s.name, func(t *testing.T) { t.Parallel(); test(t, s) })
	}
}

func TestDeploysAndRollbacksLoseNothing(t *testing.T) {
	overBoth(t, func(t *testing.T, s *site) {
		quiet, first := s.quiet(t), s.in.active(t).ReleaseID
		l := s.underLoad(t, 2)
		l.Settled(first)
		for _, step := range []string{"a", "b", "rollback", "c", "rollback"} {
			answered(t, l, 100)
			l.Switching(step)
			s.in.take(t, step)
			l.Settled(s.in.active(t).ReleaseID)
		}
		answered(t, l, 100)
		r := l.Stop()
		nothingFailed(t, r)
		if len(r.Releases) < 4 || r.Sockets.Held < 4 {
			t.Errorf("the load has met %v, and held %d WebSockets", r.Releases, r.Sockets.Held)
		}
		quiet()
	})
}

// take deploys a release, or goes back.
func (in *instance) take(t *testing.T, step string) {
	t.Helper()
	var err error
	if step == "rollback" {
		err = in.cli("rollback", "--wait")
	} else {
		err = in.deploy(step)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRestartsOfTheDaemonLoseNothing(t *testing.T) {
	overBoth(t, func(t *testing.T, s *site) {
		web, quiet := s.in.webPID(t), s.quiet(t)
		l := s.underLoad(t, 0)
		for range 4 {
			answered(t, l, 50)
			command(t, "systemctl", "restart", s.in.unit())
		}
		answered(t, l, 50)
		nothingFailed(t, l.Stop())
		quiet()
		if now := s.in.webPID(t); now != web {
			t.Errorf("the web process was %d, is %d", web, now)
		}
	})
}

// TestKilledDaemonCutsOnlyWhatItServes kills the daemon: what it was forwarding
// may be lost, whoever comes later does not notice.
func TestKilledDaemonCutsOnlyWhatItServes(t *testing.T) {
	const kills = 6
	overBoth(t, func(t *testing.T, s *site) {
		web, before := s.in.webPID(t), len(s.said(t))
		l := s.underLoad(t, 0)
		for range kills {
			answered(t, l, 80)
			kill(t, mainPID(t, s.in.unit()))
		}
		answered(t, l, 80)
		r := l.Stop()
		t.Logf("%d requests, %d failed at %d kills: %v", r.Requests, r.Failed, kills, r.Failures)
		if r.Failed > kills*clients {
			t.Errorf("%d failed, more than were under way", r.Failed)
		}
		for line := range strings.Lines(s.said(t)[before:]) {
			if strings.Contains(line, "connect() ") || strings.Contains(line, "no live upstreams") {
				t.Errorf("nginx logs %s", line)
			}
		}
		if now := s.in.webPID(t); now != web {
			t.Errorf("the web process was %d, is %d", web, now)
		}
	})
}

// TestARequestIsRepeatedOnlyIfItMayBe kills the daemon while it forwards a GET on
// a connection that was kept, and while it forwards a POST.
func TestARequestIsRepeatedOnlyIfItMayBe(t *testing.T) {
	overBoth(t, func(t *testing.T, s *site) {
		kept := &http.Client{Transport: &http.Transport{}, Timeout: patience}
		defer kept.CloseIdleConnections()
		answer := make(chan string, 1)
		ask := func(send func() (*http.Response, error)) {
			res, err := send()
			if err != nil {
				answer <- err.Error()
				return
			}
			defer res.Body.Close()
			io.Copy(io.Discard, res.Body)
			answer <- res.Status
		}
		ask(func() (*http.Response, error) { return kept.Get(s.url("/release")) })
		<-answer
		go ask(func() (*http.Response, error) { return kept.Get(s.url("/slow?ms=1000")) })
		s.in.killWhileServing(t)
		if got := <-answer; got != "200 OK" {
			t.Errorf("a GET that was under way is answered %q", got)
		}
		body, feed := io.Pipe()
		go ask(func() (*http.Response, error) { return kept.Post(s.url("/upload"), "", body) })
		if _, err := feed.Write(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
		s.in.killWhileServing(t)
		if got := <-answer; got != "502 Bad Gateway" {
			t.Errorf("a POST that was under way is answered %q", got)
		}
		feed.Close()
	})
}

// killWhileServing kills the daemon as soon as it forwards something.
func (in *instance) killWhileServing(t *testing.T) {
	t.Helper()
	eventually(t, "something is forwarded", func() bool { return in.active(t).ConnectionCount > 0 })
	kill(t, mainPID(t, in.unit()))
	in.awaitActive(t)
}
