package nginx

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// client makes each request on its own connection.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * patience}

// ask is get for what may fail.
func (s *site) ask(path string) (*http.Response, string, error) { return s.send("GET", path, nil) }

func (s *site) send(method, path string, body io.Reader, header ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, s.url(path), body)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// begin writes the beginning of a request on a connection.
func (s *site) begin(t *testing.T, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url(""), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// raw writes a request on a connection and reads until its end.
func (s *site) raw(t *testing.T, request string) string {
	t.Helper()
	answer, err := io.ReadAll(s.begin(t, request))
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// dial opens a WebSocket, as a page of the given origin does.
func (s *site) dial(origin string) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	return dialer.Dial(strings.Replace(s.url("/ws"), "http:", "ws:", 1), header)
}

// open is dial for what has to succeed; it reads the first message.
func (s *site) open(t *testing.T) *websocket.Conn {
	t.Helper()
	conn, _, err := s.dial("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, hello, err := conn.ReadMessage(); err != nil || !strings.HasPrefix(string(hello), "release ") {
		t.Fatalf("the WebSocket begins with %q, %v", hello, err)
	}
	return conn
}

// talks checks that a message comes back.
func talks(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, back, err := conn.ReadMessage(); err != nil || string(back) != "hello" {
		t.Fatalf("%q, %v came back", back, err)
	}
}

// events reads a stream of events to its end, and when each of them came.
func (s *site) events(t *testing.T, path string) (at []time.Time) {
	t.Helper()
	res, err := client.Get(s.url(path))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	piece := make([]byte, 64<<10)
	for {
		n, err := res.Body.Read(piece)
		for range strings.Count(string(piece[:n]), "data: ") {
			at = append(at, time.Now())
		}
		if err == io.EOF {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
