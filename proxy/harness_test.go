package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second // the machine may be busy

// world is a proxy on loopback with one upstream and a record of its errors.
type world struct {
	*Proxy
	t    testing.TB
	addr string
	up   *Upstream

	mu     sync.Mutex
	errors []error
}

// newWorld starts a proxy before the upstream at addr; "" is none.
func newWorld(t testing.TB, upstream string) *world { return worldOn(t, listenLocal(t), upstream) }

// worldOn is newWorld on another listener.
func worldOn(t testing.TB, l net.Listener, upstream string) *world {
	w := &world{t: t}
	w.Proxy = New(w.defaults())
	w.addr = w.serve(l)
	if upstream != "" {
		w.up = NewUpstream("r1", upstream)
		w.Switch(w.up)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) defaults() Options {
	return Options{HoldTimeout: patience, MaxHeld: 100, OnError: w.note}
}

func (w *world) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors = append(w.errors, err)
}

func (w *world) noted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(errors.Join(w.errors...))
}

// serve has the proxy serve l until the end, and returns its address.
func (w *world) serve(l net.Listener) string {
	served := make(chan error, 1)
	go func() { served <- w.Serve(l) }()
	w.t.Cleanup(func() {
		if err := <-served; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// stop ends the proxy, and lets nothing hang.
func (w *world) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		w.t.Errorf("Shutdown at the end: %v", err)
	}
	if w.up != nil {
		w.eventuallyOpen(Open{})
	}
}

func listenLocal(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// app is a backend written as a handler.
func app(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// rawApp is a backend that answers each connection by hand; the connection is
// closed when answer returns.
func rawApp(t testing.TB, answer func(c *rawConn)) string {
	l := listenLocal(t)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			conns.Go(func() {
				defer c.Close()
				answer(&rawConn{t, c.(streamConn), bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}

// rawConn is a connection on which every byte counts.
type rawConn struct {
	t testing.TB
	streamConn
	r *bufio.Reader
}

// streamConn is what *net.TCPConn and *net.UnixConn have in common.
type streamConn interface {
	net.Conn
	CloseWrite() error
}

func (w *world) dial() *rawConn {
	w.t.Helper()
	network := "tcp"
	if strings.HasPrefix(w.addr, "/") {
		network = "unix"
	}
	return w.using(net.Dial(network, w.addr))
}

func (w *world) using(c net.Conn, err error) *rawConn {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &rawConn{w.t, c.(streamConn), bufio.NewReader(c)}
}

func (c *rawConn) send(format string, args ...any) *rawConn {
	fmt.Fprintf(c, format, args...)
	return c
}

// head reads up to an empty line, "" at the end of the stream.
func (c *rawConn) head() string {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

// rest reads up to the end of the stream.
func (c *rawConn) rest() string {
	b, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Logf("read the rest: %v", err)
	}
	return string(b)
}

// answer reads one answer to a request of the method, with its body.
func (c *rawConn) answer(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read answer: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("read body of answer: %v", err)
	}
	return res, string(body)
}

// ended fails unless the connection is at its end.
func (c *rawConn) ended() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		c.t.Fatalf("connection is still open (read %q, %v)", b, err)
	}
}

// reset closes the connection with a reset.
func (c *rawConn) reset() {
	c.streamConn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// eventually waits for something that another goroutine is about to do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func (w *world) eventuallyOpen(want Open) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%+v open", want), func() bool { return w.up.Open() == want })
}

// resources counts goroutines and descriptors.
func resources(t testing.TB) (goroutines, fds int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(entries)
}

func mustContain(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
