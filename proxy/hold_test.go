package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollbridge/socket/sockettest"
)

// refusing is an address that nothing listens on, yet.
func refusing(t *testing.T) string { return sockettest.FreeAddress(t) }

func serveAt(t *testing.T, addr string, h http.HandlerFunc) *http.Server {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s
}

func echoBody(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Write(append(body, " answered"...))
}

func (w *world) eventuallyHeld(n int) {
	w.t.Helper()
	eventually(w.t, "held", func() bool { return w.Held() == n })
}

func TestHeldRequestsGoOnAtResume(t *testing.T) {
	w := newWorld(t, app(t, echoBody))
	w.up.Suspend()
	get := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	put := w.dial().send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	w.eventuallyHeld(2)
	if open := w.up.Open(); open != (Open{}) {
		t.Errorf("held requests are counted as open: %+v", open)
	}
	w.up.Resume()
	if _, body := get.answer("GET"); body != " answered" {
		t.Errorf("GET got %q", body)
	}
	if _, body := put.answer("PUT"); body != "abc answered" {
		t.Errorf("PUT got %q", body)
	}
	if w.Held() != 0 {
		t.Errorf("%d still held", w.Held())
	}
}

func TestHeldRequestsGoToTheNextRelease(t *testing.T) {
	w := newWorld(t, refusing(t))
	w.up.Suspend()
	c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	w.eventuallyHeld(1)
	if previous := w.Switch(NewUpstream("r2", app(t, echoBody))); previous != w.up {
		t.Error("Switch returned another upstream than the active one")
	}
	if _, body := c.answer("POST"); body != "abc answered" {
		t.Errorf("got %q", body)
	}
}

func TestHoldingIsBounded(t *testing.T) {
	w := newWorld(t, refusing(t))
	w.Configure(Options{HoldTimeout: 30 * time.Millisecond, MaxHeld: 1, OnError: w.note})
	w.up.Suspend()
	res, body := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || strings.Count(body, "\n") != 1 {
		t.Errorf("too long: %s %v %q", res.Status, res.Header, body)
	}
	w.Configure(Options{HoldTimeout: patience, MaxHeld: 1, OnError: w.note})
	first := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	w.eventuallyHeld(1)
	res, body = w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || strings.Count(body, "\n") != 1 {
		t.Errorf("too many: %s %v %q", res.Status, res.Header, body)
	}
	first.Close()
	w.eventuallyHeld(0)
	w.up.Resume()
}

func TestHeldRequestIsAnsweredWhenNoReleaseIsLeft(t *testing.T) {
	w := newWorld(t, refusing(t))
	w.up.Suspend()
	c := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	w.eventuallyHeld(1)
	w.Switch(nil)
	if res, body := c.answer("GET"); res.StatusCode != 503 || body != "No active release\n" {
		t.Errorf("%s %q", res.Status, body)
	}
}

func TestRefusedConnectionIsTriedAgainBeforeAnyoneKnows(t *testing.T) {
	addr := refusing(t)
	w := newWorld(t, addr)
	c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	w.eventuallyHeld(1)
	serveAt(t, addr, echoBody)
	if res, body := c.answer("POST"); body != "abc answered" {
		t.Errorf("%s %q", res.Status, body)
	}
}

func TestDeadUpstreamIsABadGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, refusing(t))
	res, body := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	if res.StatusCode != 502 || !strings.HasPrefix(body, "Bad gateway") {
		t.Errorf("%s %q", res.Status, body)
	}
	mustContain(t, w.noted(), "release r1 at "+w.up.addr+": ", "connection refused")
}

// TestKilledProcessLosesNoRequestThatWasNotSent kills the backend under load,
// tells the proxy late, and starts it anew on the same port.
func TestKilledProcessLosesNoRequestThatWasNotSent(t *testing.T) {
	addr := refusing(t)
	s := serveAt(t, addr, echoBody)
	w := newWorld(t, addr)
	ctx, cancel := context.WithCancel(context.Background())
	load := w.load(ctx, []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"})
	for range 5 {
		load.goOn(t, 50)
		s.Close() // every connection breaks
		time.Sleep(10 * time.Millisecond)
		w.up.Suspend()
		s = serveAt(t, addr, echoBody)
		w.up.Resume()
	}
	load.goOn(t, 50)
	cancel()
	load.mustBeFlawless(t)
}
