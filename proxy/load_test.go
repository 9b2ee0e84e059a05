package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// load is clients that never retry. Each repeats one request, on one connection
// as long as the server keeps it.
type load struct {
	clients sync.WaitGroup
	done    atomic.Int64

	mu       sync.Mutex
	failures []string
}

func (w *world) load(ctx context.Context, requests []string) *load {
	l := new(load)
	for _, request := range requests {
		l.clients.Go(func() { l.repeat(ctx, w.addr, request) })
	}
	return l
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

// goOn waits for n more requests.
func (l *load) goOn(t *testing.T, n int64) {
	t.Helper()
	want := l.done.Load() + n
	eventually(t, "more load", func() bool { return l.done.Load() >= want })
}

func (l *load) mustBeFlawless(t *testing.T) {
	t.Helper()
	l.clients.Wait()
	t.Logf("%d requests", l.done.Load())
	if len(l.failures) > 0 {
		t.Errorf("%d failed: %s", len(l.failures), strings.Join(l.failures[:min(5, len(l.failures))], "\n"))
	}
}

func (l *load) repeat(ctx context.Context, addr, request string) {
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			l.fail("dial: %v", err)
			return
		}
		l.converse(ctx, c, request)
		c.Close()
	}
}

// converse sends the request again and again, until the server closes.
func (l *load) converse(ctx context.Context, c net.Conn, request string) {
	r := bufio.NewReader(c)
	method, _, _ := strings.Cut(request, " ")
	for ctx.Err() == nil {
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, request)
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			l.fail("%.30q: %v", request, err)
			return
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			l.fail("%.30q: %s %q %v", request, res.Status, body, err)
			return
		}
		l.done.Add(1)
		if res.Close {
			return
		}
	}
}

// mixed is an application that answers everything the load asks.
func mixed(w http.ResponseWriter, r *http.Request) {
	if websocket.IsWebSocketUpgrade(r) {
		echoMessages(w, r)
		return
	}
	io.Copy(io.Discard, r.Body)
	for range 3 {
		io.WriteString(w, "part")
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}
}

func echoMessages(w http.ResponseWriter, r *http.Request) {
	c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			return
		}
		if c.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// chat opens WebSockets, one after the other, that echo some messages each.
func (l *load) chat(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
		if err != nil {
			l.fail("websocket: %v", err)
			return
		}
		c.SetReadDeadline(time.Now().Add(patience))
		for i := range 20 {
			text := fmt.Sprint("message ", i)
			c.WriteMessage(websocket.TextMessage, []byte(text))
			if _, got, err := c.ReadMessage(); err != nil || string(got) != text {
				l.fail("websocket: %q %v", got, err)
				break
			}
			l.done.Add(1)
		}
		c.Close()
	}
}

func TestNoRequestIsLostInAHundredSwitches(t *testing.T) {
	goroutines, fds := resources(t)
	t.Run("under load", switchUnderLoad)
	eventually(t, "goroutines and descriptors back", func() bool {
		g, f := resources(t)
		return g <= goroutines && f <= fds
	})
}

// release starts a backend that stop ends at once, with all its connections.
func release(t *testing.T, name string) (u *Upstream, stop func()) {
	s := &http.Server{Handler: http.HandlerFunc(mixed)}
	l := listenLocal(t)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return NewUpstream(name, l.Addr().String()), func() { s.Close() }
}

// switchUnderLoad stops each release as soon as it is drained. A build with
// -tags brokenswitch fails here.
func switchUnderLoad(t *testing.T) {
	w := newWorld(t, "")
	var stop func()
	w.up, stop = release(t, "r0")
	w.Switch(w.up)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := w.load(ctx, []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
	})
	l.clients.Go(func() { l.chat(ctx, w.addr) })
	for i := range 100 {
		l.goOn(t, 10)
		next, stopNext := release(t, fmt.Sprint("r", i+1))
		previous := w.Switch(next)
		w.up = next
		deadline, done := context.WithTimeout(ctx, patience)
		if err := previous.Drain(deadline); err != nil {
			t.Fatalf("drain of %s: %v with %+v open", previous.name, err, previous.Open())
		}
		done()
		stop()
		stop = stopNext
	}
	cancel()
	l.mustBeFlawless(t)
}
