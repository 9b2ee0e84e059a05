package load

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rollbridge/socket/sockettest"
)

// A fakeShop answers as examples/shop does, of a release that can be changed.
type fakeShop struct {
	*httptest.Server
	release atomic.Pointer[string]
}

func newFakeShop(t *testing.T) *fakeShop {
	s := &fakeShop{}
	s.serve("1")
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *fakeShop) serve(release string) { s.release.Store(&release) }
func (s *fakeShop) addr() string         { return s.Listener.Addr().String() }

func (s *fakeShop) answer(w http.ResponseWriter, r *http.Request) {
	release := *s.release.Load()
	w.Header().Set("X-Release", release)
	switch r.URL.Path {
	case "/release", "/slow":
		fmt.Fprintln(w, release)
	case "/echo":
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	case "/stream":
		for n := range 5 {
			fmt.Fprintf(w, "data: part %d of release %s\n\n", n, release)
		}
		fmt.Fprint(w, "data: end\n\n")
	case "/big":
		body := make([]byte, 524288)
		sum := sha256.Sum256(body)
		w.Header().Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		w.Write(body)
	case "/ws":
		echoSocket(w, r, release)
	}
}

func echoSocket(w http.ResponseWriter, r *http.Request, release string) {
	conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.WriteMessage(websocket.TextMessage, []byte("release "+release))
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func start(t *testing.T, opt Options) *Load {
	t.Helper()
	opt.MaxTime = 30 * time.Second
	l, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop() })
	return l
}

func reach(t *testing.T, l *Load, n int64) {
	t.Helper()
	if err := l.Reached(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

func TestAllKindsPassOnAGoodServer(t *testing.T) {
	shop := newFakeShop(t)
	l := start(t, Options{Target: shop.addr(), Clients: 4, Sockets: 2})
	l.Settled("1")
	reach(t, l, 400)
	l.Switching("to 2")
	shop.serve("2")
	l.Settled("2")
	reach(t, l, 800)
	r := l.Stop()
	if r.Failed != 0 {
		t.Fatalf("failures on a good server: %v %v", r.Failures, r.Samples)
	}
	if len(r.Kinds) != len(mix) {
		t.Errorf("%d kinds were used, the mix has %d", len(r.Kinds), len(mix))
	}
	if r.Sockets.Held != 4 {
		t.Errorf("%d WebSockets held, want two on each release", r.Sockets.Held)
	}
	if r.Releases["1"] == 0 || r.Releases["2"] == 0 {
		t.Errorf("answers by release: %v", r.Releases)
	}
	if s := r.Switches[len(r.Switches)-1]; s.From != "1" || s.To != "2" || s.SlowestMs == 0 {
		t.Errorf("switch: %+v", s)
	}
}

func TestOldReleaseAfterTheAcknowledgementIsAFailure(t *testing.T) {
	shop := newFakeShop(t)
	l := start(t, Options{Target: shop.addr(), Clients: 2})
	l.Settled("1")
	reach(t, l, 50)
	l.Switching("forgotten")
	l.Settled("2") // but the server goes on with 1
	reach(t, l, 100)
	if r := l.Stop(); r.Failures[OldRelease] == 0 {
		t.Errorf("failures: %v", r.Failures)
	}
}

func TestAttemptAllowsNoOtherRelease(t *testing.T) {
	shop := newFakeShop(t)
	l := start(t, Options{Target: shop.addr(), Clients: 2})
	l.Settled("1")
	l.Attempt("broken")
	shop.serve("3")
	reach(t, l, 100)
	l.Refused()
	r := l.Stop()
	if r.Failures[OldRelease] == 0 {
		t.Errorf("failures: %v", r.Failures)
	}
	if s := r.Switches[0]; s.To != "" || s.Failed == 0 {
		t.Errorf("switch: %+v", s)
	}
}

func TestLoadEndsAtItsBound(t *testing.T) {
	shop := newFakeShop(t)
	l := start(t, Options{Target: shop.addr(), Clients: 3, MaxRequests: 100})
	<-l.Ended()
	if r := l.Stop(); r.Requests != 100 {
		t.Errorf("%d requests, the bound is 100", r.Requests)
	}
}

func TestPauseLeavesNoConnection(t *testing.T) {
	shop := newFakeShop(t)
	var open atomic.Int64
	front := misbehave(t, func(c *net.TCPConn) {
		open.Add(1)
		defer open.Add(-1)
		defer c.Close()
		back, err := net.Dial("tcp", shop.addr())
		if err != nil {
			return
		}
		defer back.Close()
		go func() { io.Copy(c, back); c.CloseWrite() }()
		io.Copy(back, c)
	})
	l := start(t, Options{Target: front, Clients: 3, Sockets: 2})
	l.Settled("1")
	reach(t, l, 100)
	l.Pause()
	before, _ := l.Count()
	for wait := time.Now().Add(10 * time.Second); open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(wait) {
			t.Fatalf("%d connections are open", open.Load())
		}
	}
	if now, _ := l.Count(); now != before {
		t.Errorf("%d requests during the pause", now-before)
	}
	l.Resume()
	reach(t, l, before+100)
	if r := l.Stop(); r.Failed != 0 || r.Sockets.Held != 4 {
		t.Errorf("failures %v %v, %d WebSockets held", r.Failures, r.Samples, r.Sockets.Held)
	}
}

func TestRateIsKept(t *testing.T) {
	shop := newFakeShop(t)
	began := time.Now()
	l := start(t, Options{Target: shop.addr(), Clients: 4, Rate: 200})
	reach(t, l, 100)
	if took := time.Since(began); took < 450*time.Millisecond {
		t.Errorf("100 requests at 200 per second took only %v", took)
	}
}

func TestTargetIsThisMachineUnlessAllowed(t *testing.T) {
	for target, ok := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true,
		"192.0.2.1:80": false, "example.org:80": false, "nonsense": false,
	} {
		opt := Options{Target: target}
		if err := opt.check(); (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
	}
	remote := Options{Target: "192.0.2.1:80", Remote: true}
	if err := remote.check(); err != nil {
		t.Error(err)
	}
}

// misbehave serves each connection with f.
func misbehave(t *testing.T, f func(*net.TCPConn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c.(*net.TCPConn))
		}
	}()
	return l.Addr().String()
}

const goodAnswer = "HTTP/1.1 200 OK\r\nX-Release: 1\r\nContent-Length: 2\r\n\r\n1\n"

func TestEachFailureHasItsClass(t *testing.T) {
	say := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			defer c.Close()
			readHead(bufio.NewReader(c))
			io.WriteString(c, text)
		}
	}
	for name, test := range map[string]struct {
		serve func(*net.TCPConn)
		want  Class
	}{
		"bad gateway":       {say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), "status-502"},
		"unavailable":       {say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), "status-503"},
		"nothing":           {say(""), EOFBeforeResponse},
		"half a head":       {say("HTTP/1.1 200 OK\r\nX-Rel"), EOFBeforeResponse},
		"half a body":       {say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"), EOFMidBody},
		"half a chunk":      {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n123"), EOFMidBody},
		"no HTTP":           {say("SSH-2.0-x\r\n\r\n"), Malformed},
		"other body":        {say("HTTP/1.1 200 OK\r\nX-Release: 1\r\nContent-Length: 2\r\n\r\n2\n"), WrongBody},
		"reset":             {reset, Reset},
		"silence":           {silence, Timeout},
		"end on a kept one": {oneAnswer, KeepAliveClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &Load{opt: Options{Target: misbehave(t, test.serve), Timeout: 500 * time.Millisecond}, rec: newRecorder()}
			f := getTwice(t, l)
			if f == nil || f.Class != test.want {
				t.Errorf("got %v, want %s", f, test.want)
			}
		})
	}
}

// getTwice asks twice on one connection and returns the first failure.
func getTwice(t *testing.T, l *Load) *Failure {
	conn, f := l.dial(t.Context())
	if f != nil {
		return f
	}
	defer conn.Close()
	req := newRequest(Get, "shop", nil)
	if _, _, f := l.send(conn, req); f != nil {
		return f
	}
	_, _, f = l.send(conn, req)
	return f
}

func readHead(in *bufio.Reader) {
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.TrimSpace(line) == "" {
			return
		}
	}
}

func reset(c *net.TCPConn) {
	readHead(bufio.NewReader(c))
	c.SetLinger(0)
	c.Close()
}

func silence(c *net.TCPConn) {
	io.Copy(io.Discard, c)
	c.Close()
}

// oneAnswer answers one request and ends at the second.
func oneAnswer(c *net.TCPConn) {
	defer c.Close()
	in := bufio.NewReader(c)
	readHead(in)
	io.WriteString(c, goodAnswer)
	readHead(in)
}

func TestRefusedConnectionHasItsClass(t *testing.T) {
	l := &Load{opt: Options{Target: sockettest.FreeAddress(t), Timeout: time.Second}, rec: newRecorder()}
	if _, f := l.dial(t.Context()); f == nil || f.Class != ConnectRefused {
		t.Errorf("got %v", f)
	}
	if _, _, f := l.openSocket(t.Context()); f == nil || f.Class != ConnectRefused {
		t.Errorf("WebSocket: got %v", f)
	}
}

func TestConnectionClosedWhileIdleIsNoFailure(t *testing.T) {
	addr := misbehave(t, func(c *net.TCPConn) {
		readHead(bufio.NewReader(c))
		io.WriteString(c, goodAnswer)
		c.Close()
	})
	l := &Load{opt: Options{Target: addr, Timeout: 5 * time.Second}, rec: newRecorder()}
	c := l.newClient(0, &round{})
	defer c.drop()
	if _, f := c.do(t.Context(), Get); f != nil {
		t.Fatal(f)
	}
	for !c.conn.ended() {
		waitReadable(t, c.conn)
	}
	if _, f := c.do(t.Context(), Get); f != nil {
		t.Fatal(f)
	}
	if l.rec.idle != 1 {
		t.Errorf("idle closes counted: %d", l.rec.idle)
	}
}

// waitReadable waits until there is something to read, be it the end.
func waitReadable(t *testing.T, c *conn) {
	c.deadline(5 * time.Second)
	if _, err := c.in.Peek(1); err != io.EOF {
		t.Fatalf("expected the end of the connection, got %v", err)
	}
}

func TestHeldWebSocketIsJudgedByItsEnd(t *testing.T) {
	const drain = 300 * time.Millisecond
	closeWith := func(code int, after time.Duration) func(*websocket.Conn) {
		return func(c *websocket.Conn) {
			time.Sleep(after)
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
			c.ReadMessage()
		}
	}
	for name, test := range map[string]struct {
		serve func(*websocket.Conn)
		want  Class // "" for none
	}{
		"1012 after the deadline": {closeWith(1012, drain), ""},
		"1012 too early":          {closeWith(1012, 0), SocketEarly},
		"another code":            {closeWith(1001, drain), "websocket-closed-1001"},
		"cut":                     {func(c *websocket.Conn) { c.NetConn().Close() }, SocketCut},
		"wrong message":           {func(c *websocket.Conn) { c.WriteMessage(1, []byte("x")); c.ReadMessage() }, SocketWrongEcho},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
				if err != nil {
					return
				}
				defer c.Close()
				c.WriteMessage(websocket.TextMessage, []byte("release 1"))
				<-left
				test.serve(c)
			}))
			defer server.Close()
			l := newLoad(Options{Target: server.Listener.Addr().String(), Timeout: 5 * time.Second, Drain: drain})
			e := &epoch{release: "1"}
			l.epoch.Store(e)
			var holder sync.WaitGroup
			holder.Go(func() { l.hold(e, nil) })
			for opened := false; !opened; time.Sleep(time.Millisecond) {
				l.rec.count(func() { opened = l.rec.sockets.Held == 1 })
			}
			l.Switching("away")
			close(left)
			holder.Wait()
			checkFailures(t, l.rec, test.want)
		})
	}
}

func checkFailures(t *testing.T, rec *recorder, want Class) {
	t.Helper()
	r := rec.report()
	switch {
	case want == "" && r.Failed == 0 && r.Sockets.Drained == 1:
	case want != "" && r.Failed == 1 && r.Failures[want] == 1:
	default:
		t.Errorf("failures %v %v, drained %d, want %q", r.Failures, r.Samples, r.Sockets.Drained, want)
	}
}

func TestSlowestAndGapAreMeasuredAroundASwitch(t *testing.T) {
	rec := newRecorder()
	at := func(ms int) time.Time { return rec.began.Add(time.Duration(ms) * time.Millisecond) }
	rec.endSwitch("1", at(0))
	rec.beginSwitch("to 2", at(100))
	for _, r := range []result{
		{Get, at(0), at(50), "1", nil},      // before the window
		{Get, at(90), at(110), "1", nil},    // the last old answer
		{Slow, at(90), at(900), "1", nil},   // not due at once
		{Post, at(105), at(135), "2", nil},  // the first new one, and the slowest
		{Get, at(3000), at(3500), "2", nil}, // after the window
	} {
		if r.ended.After(at(200)) && r.kind == Get {
			rec.endSwitch("2", at(200))
		}
		rec.add(r)
	}
	s := rec.report().Switches[0]
	want := SwitchReport{Name: "to 2", From: "1", To: "2", GapMs: 25, DeployMs: 100, SlowestMs: 30, SlowestKind: Post}
	if s != want {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestTableNamesEveryFailureClass(t *testing.T) {
	rec := newRecorder()
	rec.add(result{Get, rec.began, rec.began, "", failed(Reset, "x")})
	var out strings.Builder
	rec.report().WriteTable(&out)
	if !strings.Contains(out.String(), "reset 1") {
		t.Error(out.String())
	}
}

func TestReachedEndsWithTheContext(t *testing.T) {
	l := start(t, Options{Target: newFakeShop(t).addr(), Clients: 1, Rate: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l.Reached(ctx, 1_000_000) == nil {
		t.Error("Reached answered for requests that were not made")
	}
}
