package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// onUnix is newWorld with a Unix socket in place of the port.
func onUnix(t *testing.T, upstream string) *world {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return worldOn(t, l, upstream)
}

func TestForwardedHeadersOfPeersOnUnixSockets(t *testing.T) {
	w := onUnix(t, rawApp(t, echoHead))
	opt := w.defaults()
	opt.TrustedProxies = nil // these peers are trusted all the same
	w.Configure(opt)

	_, got := w.dial().send("GET / HTTP/1.1\r\nHost: a:81\r\n\r\n").answer("GET")
	mustContain(t, got, "Host: a:81\r\n", "X-Forwarded-Host: a:81\r\n", "X-Forwarded-Port: 81\r\n", "X-Forwarded-Proto: http\r\n")
	if strings.Contains(got, "X-Forwarded-For") { // the peer has no address to add
		t.Errorf("from nowhere:\n%s", got)
	}
	_, got = w.dial().send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").answer("GET")
	mustContain(t, got, "X-Forwarded-Port: 80\r\n")

	const given = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: pub\r\nX-Forwarded-Port: 443\r\n"
	_, got = w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", given).answer("GET")
	mustContain(t, got, "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: pub\r\n", "X-Forwarded-Port: 443\r\n")
}

func TestNameOfAUnixPeerIsNoAddress(t *testing.T) {
	w := onUnix(t, rawApp(t, echoHead))
	t.Chdir(t.TempDir())
	named := net.Dialer{LocalAddr: &net.UnixAddr{Net: "unix", Name: "9.9.9.9:99"}}
	_, got := w.using(named.Dial("unix", w.addr)).send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n").answer("GET")
	mustContain(t, got, "X-Forwarded-For: 1.2.3.4\r\n")
}

func TestUnixSocketServesEveryKindOfClient(t *testing.T) {
	w := onUnix(t, rawApp(t, echoHead))
	c := w.dial()
	for range 3 { // kept alive
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	}
	c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").answer("GET")
	c.ended()

	old := w.dial().send("GET / HTTP/1.0\r\n\r\n").rest()
	mustContain(t, old, "HTTP/1.0 200 OK\r\n", "GET / HTTP/1.1\r\n")
	kept := w.dial()
	for range 2 {
		kept.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").answer("GET")
	}

	refused := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n").rest()
	mustContain(t, refused, "HTTP/1.1 400 Bad Request\r\n")
	pipelined := w.dial().send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"GET /1 ", "GET /2 "} {
		if _, got := pipelined.answer("GET"); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWebSocketOverAUnixSocket(t *testing.T) {
	w := onUnix(t, app(t, echoMessages))
	dialer := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", w.addr) }}
	c, _, err := dialer.Dial("ws://host/", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.WriteMessage(websocket.TextMessage, []byte("hello"))
	if _, got, err := c.ReadMessage(); string(got) != "hello" {
		t.Fatalf("echo: %q, %v", got, err)
	}
	w.eventuallyOpen(Open{WebSocket: 1})
	w.up.CloseWebSockets(0)
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("at the end of the drain: %v", err)
	}
	c.Close()
}

func TestClientThatLeavesAUnixSocketEndsItsRequest(t *testing.T) {
	begun, gone := make(chan bool), make(chan bool)
	w := onUnix(t, app(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(gone)
	}))
	c := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	c.Close()
	<-gone
}

func TestQuietUnixConnectionsEndAtAShutdown(t *testing.T) {
	w := onUnix(t, app(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	quiet, fresh := w.dial(), w.dial()
	quiet.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	w.stop()
	quiet.ended()
	fresh.ended()
}
