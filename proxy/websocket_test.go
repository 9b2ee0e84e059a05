package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const handshake = "GET /chat//x HTTP/1.1\r\nHost: a:81\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// accepting is a backend that agrees to the upgrade and then does as it likes.
func accepting(t testing.TB, then func(c *rawConn)) string {
	return rawApp(t, func(c *rawConn) {
		c.head()
		c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nKeep-Alive: 5\r\n\r\n")
		then(c)
	})
}

func echoBytes(c *rawConn) { io.Copy(c, c.r) }

func (w *world) upgrade() *rawConn {
	w.t.Helper()
	c := w.dial().send(handshake)
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		w.t.Fatalf("answered %q", head)
	}
	return c
}

func (c *rawConn) mustRead(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != want {
		c.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestWebSocketIsCountedUntilBothEndsAreClosed(t *testing.T) {
	w := newWorld(t, app(t, echoMessages))
	c, res, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Connection") != "Upgrade" {
		t.Errorf("head of the 101: %v", res.Header)
	}
	c.WriteMessage(websocket.BinaryMessage, []byte("hello"))
	if _, got, err := c.ReadMessage(); string(got) != "hello" {
		t.Fatalf("echo: %q %v", got, err)
	}
	if open := w.up.Open(); open != (Open{WebSocket: 1}) {
		t.Errorf("open: %+v", open)
	}
	c.Close()
	w.eventuallyOpen(Open{})
}

func TestHandshakeReachesTheBackend(t *testing.T) {
	heads := make(chan string, 1)
	w := newWorld(t, rawApp(t, func(c *rawConn) {
		heads <- c.head()
		c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nearly")
		echoBytes(c)
	}))
	c := w.dial().send(handshake + "first") // bytes behind the handshake
	mustContain(t, c.head(), "HTTP/1.1 101 Switching Protocols\r\n", "Connection: Upgrade\r\n", "Upgrade: WebSocket\r\n")
	c.mustRead("earlyfirst")
	mustContain(t, <-heads, "GET /chat//x HTTP/1.1\r\n", "Host: a:81\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"X-Forwarded-Proto: ws\r\n", "X-Forwarded-Host: a:81\r\n", "X-Forwarded-Port: 81\r\n", "X-Forwarded-For: 127.0.0.1\r\n")
	c.Close()
	w.eventuallyOpen(Open{})
}

func TestRefusedHandshakeIsPassedOnAndEndsTheConnection(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) {
		c.head()
		c.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nkeep")
	}))
	got := w.dial().send(handshake + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").rest()
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.HasSuffix(got, "\r\n\r\nkeep") {
		t.Errorf("got %q", got)
	}
}

func TestWebSocketWithoutABackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	if got := w.dial().send(handshake).rest(); !strings.HasPrefix(got, "HTTP/1.1 503 Service Unavailable\r\n") {
		t.Errorf("without release: %q", got)
	}
	w.Switch(NewUpstream("r2", refusing(t)))
	if got := w.dial().send(handshake).rest(); !strings.HasPrefix(got, "HTTP/1.1 502 Bad Gateway\r\n") {
		t.Errorf("unreachable: %q", got)
	}
}

func TestHandshakeIsHeld(t *testing.T) {
	w := newWorld(t, accepting(t, echoBytes))
	w.up.Suspend()
	c := w.dial().send(handshake)
	w.eventuallyHeld(1)
	w.up.Resume()
	mustContain(t, c.head(), "HTTP/1.1 101 ")
	c.send("x").mustRead("x")
	c.Close()
	w.eventuallyOpen(Open{})
}

func TestResetDuringTheHandshakeIsHarmless(t *testing.T) {
	asked := make(chan bool)
	w := newWorld(t, rawApp(t, func(c *rawConn) { c.head(); asked <- true; c.rest() }))
	c := w.dial().send(handshake)
	<-asked
	c.reset()
	w.eventuallyOpen(Open{})
	w.Switch(nil)
	for range 20 {
		w.dial().send(handshake).reset()
	}
	if res, _ := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET"); res.StatusCode != 503 {
		t.Errorf("afterwards: %s", res.Status)
	}
}

func TestEitherSideEndsTheTunnel(t *testing.T) {
	for name, leave := range map[string]func(client, backend *rawConn){
		"client closes":       func(c, b *rawConn) { c.CloseWrite() },
		"client resets":       func(c, b *rawConn) { c.reset() },
		"backend closes":      func(c, b *rawConn) { b.CloseWrite() },
		"backend resets":      func(c, b *rawConn) { b.reset() },
		"last words of both":  func(c, b *rawConn) { b.send("bye").CloseWrite(); c.send("bye").CloseWrite() },
		"flushed to the last": func(c, b *rawConn) { b.send("%s", strings.Repeat("x", 1<<20)).CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			backends := make(chan *rawConn)
			left := make(chan bool)
			w := newWorld(t, accepting(t, func(c *rawConn) { backends <- c; <-left; io.Copy(io.Discard, c) }))
			c := w.upgrade()
			b := <-backends
			var end sync.WaitGroup
			end.Go(func() { leave(c, b); close(left) })
			if name != "client resets" {
				got := c.rest()
				if name == "flushed to the last" && len(got) != 1<<20 {
					t.Errorf("client got %d bytes", len(got))
				}
				c.Close()
			}
			end.Wait()
			w.eventuallyOpen(Open{})
		})
	}
}

func TestSilentSideCannotKeepTheTunnel(t *testing.T) {
	t.Parallel()
	gone := make(chan bool)
	w := newWorld(t, accepting(t, func(c *rawConn) { <-gone })) // ignores the client's end
	c := w.upgrade()
	c.CloseWrite()
	w.eventuallyOpen(Open{})
	close(gone)
}

func closeCode(err error) int {
	if e, ok := errors.AsType[*websocket.CloseError](err); ok {
		return e.Code
	}
	return 0
}

func TestIdleWebSocketsAreClosedWithARestartCode(t *testing.T) {
	backendSaw := make(chan error, 100)
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		_, _, err = c.ReadMessage()
		backendSaw <- err
	}))
	const n = 30
	clientSaw := make(chan error, n)
	for range n {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _, err := c.ReadMessage()
			c.Close()
			clientSaw <- err
		}()
	}
	w.eventuallyOpen(Open{WebSocket: n})
	w.up.CloseWebSockets(50 * time.Millisecond)
	if open := w.up.Open(); open.WebSocket != 0 {
		w.eventuallyOpen(Open{})
	}
	for range n {
		if err := <-clientSaw; closeCode(err) != websocket.CloseServiceRestart {
			t.Errorf("client: %v", err)
		}
		if err := <-backendSaw; closeCode(err) != websocket.CloseServiceRestart {
			t.Errorf("backend: %v", err)
		}
	}
}

// TestBusyWebSocketsAreClosedBetweenFrames closes tunnels in which both sides
// write as fast as they can, so that hardly a read ends at the end of a frame.
func TestBusyWebSocketsAreClosedBetweenFrames(t *testing.T) {
	t.Parallel()
	backendSaw := make(chan error, 100)
	flood := func(c *websocket.Conn) error {
		// What waits to be read when the Close frame comes is little, however slow
		// the machine is.
		c.NetConn().(*net.TCPConn).SetReadBuffer(32 << 10)
		go func() {
			message := bytes.Repeat([]byte("0123456789"), 1777)
			for c.WriteMessage(websocket.BinaryMessage, message) == nil {
			}
		}()
		for {
			if _, m, err := c.ReadMessage(); err != nil {
				return err
			} else if len(m) != 17770 {
				return fmt.Errorf("torn message of %d bytes", len(m))
			}
		}
	}
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		backendSaw <- flood(c)
	}))
	const n = 4
	clientSaw := make(chan error, n)
	for range n {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+w.addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			err := flood(c)
			c.Close()
			clientSaw <- err
		}()
	}
	w.eventuallyOpen(Open{WebSocket: n})
	time.Sleep(50 * time.Millisecond) // of noise
	start := time.Now()
	w.up.CloseWebSockets(20 * time.Millisecond)
	t.Logf("closed in %v", time.Since(start))
	for range n {
		if err := <-clientSaw; closeCode(err) != websocket.CloseServiceRestart {
			t.Errorf("client: %v", err)
		}
		if err := <-backendSaw; closeCode(err) != websocket.CloseServiceRestart {
			t.Errorf("backend: %v", err)
		}
	}
	w.eventuallyOpen(Open{})
}

func TestTunnelStuckInAFrameIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, accepting(t, func(c *rawConn) {
		c.Write(frame(0x82, false, 1000)[:500])
		io.Copy(io.Discard, c)
	}))
	c := w.upgrade()
	io.ReadFull(c.r, make([]byte, 500))
	start := time.Now()
	w.up.CloseWebSockets(0)
	if took := time.Since(start); took > patience/2 {
		t.Errorf("took %v", took)
	}
	if got := c.rest(); got != "" {
		t.Errorf("after half a frame came %q", got)
	}
	w.eventuallyOpen(Open{})
}

func TestFrameUnderWayIsFinishedFirst(t *testing.T) {
	goOn := make(chan bool)
	whole := frame(0x82, false, 1000)
	w := newWorld(t, accepting(t, func(c *rawConn) {
		c.Write(whole[:500])
		<-goOn
		c.Write(append(whole[500:], whole...))
		io.Copy(io.Discard, c)
	}))
	c := w.upgrade()
	c.mustRead(string(whole[:500]))
	done := make(chan bool)
	go func() { w.up.CloseWebSockets(0); close(done) }()
	eventually(t, "closing", func() bool {
		w.up.tunnels.mu.Lock()
		defer w.up.tunnels.mu.Unlock()
		for t := range w.up.tunnels.open {
			return t.isClosing()
		}
		return false
	})
	close(goOn)
	c.mustRead(string(whole[500:]) + string(closeFrame(false)))
	if got := c.rest(); got != "" {
		t.Errorf("behind the Close frame came %q", got)
	}
	c.Close()
	<-done
}

func TestClosedDirectionGetsNoSecondCloseFrame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, accepting(t, func(c *rawConn) {
		c.Write(closeFrame(false))
		io.Copy(io.Discard, c)
	}))
	c := w.upgrade()
	c.mustRead(string(closeFrame(false)))
	w.up.CloseWebSockets(0)
	if got := c.rest(); got != "" {
		t.Errorf("a second frame: %q", got)
	}
}
