package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
)

func newTestUpload(body io.Reader) *upload {
	return newUpload(http.NewResponseController(httptest.NewRecorder()), io.NopCloser(body))
}

// net/http closes the connection to the upstream when the body fails: that is not
// the application hanging up.
func TestTheFirstFailureOfAnUploadCounts(t *testing.T) {
	cut := errors.New("cut off")
	body := newTestUpload(iotest.ErrReader(cut))
	io.ReadAll(body)
	body.interrupt()
	if got := body.broken(); got != cut {
		t.Errorf("the body is broken by %v, want %v", got, cut)
	}

	body = newTestUpload(iotest.ErrReader(cut))
	body.interrupt()
	if _, err := io.ReadAll(body); err != errHungUp || body.broken() != errHungUp {
		t.Errorf("an interrupted body ends with %v, is broken by %v", err, body.broken())
	}
}

func TestAConnectionThatWeCloseInterruptsNoUpload(t *testing.T) {
	l := listenLocal(t)
	defer l.Close()
	for _, end := range []struct {
		what string
		do   func(ours, theirs net.Conn)
		want error
	}{
		{"ours", func(ours, _ net.Conn) { ours.Close() }, nil},
		{"theirs", func(_, theirs net.Conn) { theirs.Close() }, errHungUp},
	} {
		conn, err := dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		theirs, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		body := newTestUpload(http.NoBody)
		conn.(*upstreamConn).carries(body)
		end.do(conn, theirs)
		conn.Read(make([]byte, 1))
		if got := body.broken(); got != end.want {
			t.Errorf("%s was closed: the body is broken by %v, want %v", end.what, got, end.want)
		}
	}
}

func TestTheClientsFaultIsNotTheApplications(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) { c.rest() }))
	for range 200 {
		c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
		if res, body := c.answer("POST"); res.StatusCode != 400 || !res.Close {
			t.Errorf("a malformed body is answered %s, %q", res.Status, body)
		}
		c = w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
		c.CloseWrite()
		if res, body := c.answer("POST"); res.StatusCode != 400 || !res.Close {
			t.Errorf("a body that is cut off is answered %s, %q", res.Status, body)
		}
		w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").reset()
	}
	if got := w.noted(); got != "<nil>" {
		t.Error(got)
	}
}
