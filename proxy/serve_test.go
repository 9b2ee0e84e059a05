package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func bounded(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestShutdownServesOut(t *testing.T) {
	t.Parallel()
	finish := make(chan bool)
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-finish
		}
		io.WriteString(w, "whole")
	}))
	idle := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	idle.answer("GET")
	slow := w.dial().send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	half := w.dial().send("GET / HTTP/1.1\r\nHost:")
	w.eventuallyOpen(Open{HTTP: 1})
	unused := w.dial()
	eventually(t, "accepted", func() bool { return w.connections() == 4 })

	done := make(chan error, 1)
	go func() { done <- w.Shutdown(bounded(t, patience)) }()
	eventually(t, "closing", w.closing.Load)
	if c, err := net.Dial("tcp", w.addr); err == nil {
		c.Close()
		t.Error("still accepts connections")
	}
	if res, body := unused.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET"); body != "whole" || !res.Close {
		t.Errorf("request on an accepted connection: %s %q, close %v", res.Status, body, res.Close)
	}
	if res, body := half.send(" a\r\n\r\n").answer("GET"); body != "whole" || !res.Close {
		t.Errorf("request that had begun: %s %q, close %v", res.Status, body, res.Close)
	}
	idle.ended()
	select {
	case err := <-done:
		t.Fatalf("Shutdown did not wait for a request: %v", err)
	default:
	}
	close(finish)
	if _, body := slow.answer("GET"); body != "whole" {
		t.Errorf("slow answer is %q", body)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) { c.head(); c.rest() })) // never answers
	w.dial()                                                             // never asks
	w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
	w.dial().send(handshake)
	w.eventuallyOpen(Open{HTTP: 2, WebSocket: 1})
	start := time.Now()
	err := w.Shutdown(bounded(t, 50*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cut ") {
		t.Errorf("Shutdown: %v", err)
	}
	if took := time.Since(start); took > patience/2 {
		t.Errorf("took %v", took)
	}
	w.eventuallyOpen(Open{})
}

func TestShutdownEndsUnusedConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	c := w.dial()
	eventually(t, "accepted", func() bool { return w.connections() == 1 })
	if err := w.Shutdown(bounded(t, patience)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	c.ended()
}

func TestShutdownLetsWebSocketsLiveUntilItsEnd(t *testing.T) {
	w := newWorld(t, app(t, echoMessages))
	c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	saw := make(chan error, 1)
	go func() {
		_, _, err := c.ReadMessage()
		c.Close()
		saw <- err
	}()
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Shutdown(ctx) }()
	eventually(t, "no listener", func() bool {
		conn, err := net.Dial("tcp", w.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-saw:
		t.Errorf("the WebSocket ended before its time: %v", err)
	default:
	}
	end()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-saw; closeCode(err) != websocket.CloseServiceRestart {
		t.Errorf("client: %v", err)
	}
}

// heldAnswers is a listener whose connections pass nothing on to the client
// before goOn is closed; reached tells of each that would.
type heldAnswers struct {
	net.Listener
	reached, goOn chan struct{}
}

func (l heldAnswers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return heldAnswer{conn, l.reached, l.goOn}, err
}

type heldAnswer struct {
	net.Conn
	reached, goOn chan struct{}
}

func (h heldAnswer) Write(p []byte) (int, error) {
	select {
	case h.reached <- struct{}{}:
		<-h.goOn
	case <-h.goOn:
	}
	return h.Conn.Write(p)
}

func TestShutdownWaitsForAWebSocketThatJustBegins(t *testing.T) {
	t.Parallel()
	held := heldAnswers{listenLocal(t), make(chan struct{}), make(chan struct{})}
	w := worldOn(t, held, accepting(t, echoBytes))
	idle := w.dial() // its end shows that Shutdown has looked at the connections
	eventually(t, "accepted", func() bool { return w.connections() == 1 })
	c := w.dial().send(handshake)
	<-held.reached
	done := make(chan error, 1)
	go func() { done <- w.Shutdown(bounded(t, patience)) }()
	idle.ended()
	select {
	case err := <-done:
		t.Errorf("Shutdown did not wait: %v", err)
	case <-time.After(quietGrace / 2): // as long as it takes to look again
	}
	close(held.goOn)
	c.head()
	c.send("hello").mustRead("hello")
	c.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestSecondShutdownWaitsForTheFirst(t *testing.T) {
	finish := make(chan bool)
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { <-finish }))
	c := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	w.eventuallyOpen(Open{HTTP: 1})
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- w.Shutdown(bounded(t, patience)) }()
	}
	eventually(t, "closing", w.closing.Load)
	close(finish)
	c.answer("GET")
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	l := listenLocal(t)
	if err := w.Serve(l); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// TestShutdownLosesNoRequest stops proxies under load from clients that keep
// their connections: whatever was sent before our end of the connection closed
// has its answer.
func TestShutdownLosesNoRequest(t *testing.T) {
	for range 20 {
		w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "whole") }))
		const n = 8
		ended := make(chan error, n)
		for range n {
			c := w.dial()
			go func() { ended <- askUntilClosed(c) }()
		}
		eventually(t, "under load", func() bool { return w.connections() == n })
		if err := w.Shutdown(bounded(t, patience)); err != nil {
			t.Fatalf("Shutdown: %v", err)
		}
		for range n {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}

// askUntilClosed asks again and again, until an answer says that it is the last.
func askUntilClosed(c *rawConn) error {
	for i := 0; ; i++ {
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "whole" {
			return fmt.Errorf("request %d: %q, %w", i, body, err)
		}
		if res.Close {
			return nil
		}
	}
}

// starving is a listener that lacks descriptors for a while.
type starving struct {
	net.Listener
	failures int
}

func (l *starving) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestLackOfDescriptorsIsWaitedOut(t *testing.T) {
	w := newWorld(t, "")
	l := listenLocal(t)
	go w.Serve(&starving{l, 3})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	got, _ := io.ReadAll(c)
	mustContain(t, string(got), "HTTP/1.1 503 ")
	mustContain(t, w.noted(), "too many open files")
}

type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, errors.New("broken") }

func TestBrokenListenerEndsServe(t *testing.T) {
	w := newWorld(t, "")
	if err := w.Serve(broken{listenLocal(t)}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("Serve: %v", err)
	}
}

func TestThousandsOfIdleConnectionsAreHarmless(t *testing.T) {
	w := newWorld(t, app(t, echoBody))
	const n = 2000
	for range n {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	eventually(t, "accepted", func() bool { return w.connections() == n })
	if res, _ := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET"); res.StatusCode != 200 {
		t.Errorf("answered %s", res.Status)
	}
}
