package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const post = "POST / HTTP/1.1\r\nHost: a\r\n"

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, r.URL.Path)
	}))
	for name, request := range map[string]string{
		"length and coding":      post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding and length":      post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"two lengths":            post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"list of lengths":        post + "Content-Length: 3, 3\r\n\r\nabc",
		"signed length":          post + "Content-Length: +3\r\n\r\nabc",
		"hexadecimal length":     post + "Content-Length: 0x3\r\n\r\nabc",
		"empty length":           post + "Content-Length:\r\n\r\nabc",
		"huge length":            post + "Content-Length: 99999999999999999999\r\n\r\nabc",
		"other coding":           post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"coding identity":        post + "Transfer-Encoding: identity\r\n\r\n",
		"two codings":            post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding in 1.0":          "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before colon":     post + "Content-Length : 3\r\n\r\nabc",
		"folded header":          post + "X: a\r\n b\r\n\r\n",
		"no name":                post + ": a\r\n\r\n",
		"no colon":               post + "abc\r\n\r\n",
		"bad name":               post + "a(b): c\r\n\r\n",
		"bare line feed":         "GET / HTTP/1.1\nHost: a\n\n",
		"bare line feed in head": "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
		"bare carriage return":   "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
		"NUL":                    post + "X: a\x00b\r\n\r\n",
		"no host":                "GET / HTTP/1.1\r\n\r\n",
		"two hosts":              "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"version 2.0":            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"version 1.2":            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
		"version 0.9":            "GET /\r\n\r\n",
		"preface of HTTP/2":      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"two spaces":             "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"space in target":        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
		"control in target":      "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n",
		"no target":              "GET HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT":                "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
		"bad absolute target":    "GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n",
		"bad upgrade target":     "GET http://[ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"target without slash":   "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
		"asterisk with GET":      "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
		"empty line first":       "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"chunk size":             post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"huge chunk":             post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"signed chunk":           post + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
		"chunk with line feed":   post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
		"chunk too long":         post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"long extension":         post + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 300) + "\r\nabc\r\n0\r\n\r\n",
		"trailer with line feed": post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := w.dial().send("%sGET /second HTTP/1.1\r\nHost: a\r\n\r\n", request).rest()
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "Connection: close\r\n") {
				t.Errorf("answered %q", got)
			}
			if strings.Contains(got, "/second") {
				t.Errorf("went on after it: %q", got)
			}
		})
	}
	if got := w.noted(); got != "<nil>" {
		t.Errorf("reported as errors of the upstream: %s", got)
	}
}

func TestLongHeadIsRefused(t *testing.T) {
	w := newWorld(t, rawApp(t, echoHead))
	for _, size := range []int{maxHead, 20 << 10, 200 << 10} {
		got := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", strings.Repeat("x", size)).rest()
		mustContain(t, got, "HTTP/1.1 431 ", "Connection: close\r\n")
	}
	c := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", strings.Repeat("x", 20<<10))
	mustContain(t, c.rest(), "HTTP/1.1 200 ", "HTTP/1.1 431 ")
	got := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: %s\r\n\r\n", strings.Repeat("x", 15<<10)).rest()
	mustContain(t, got, "HTTP/1.1 200 ")
}

func TestMalformedRequestIsAnsweredInItsTurn(t *testing.T) {
	w := newWorld(t, rawApp(t, echoHead))
	got := w.dial().send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost : a\r\n\r\n").rest()
	first, second, third := strings.Index(got, "GET /1"), strings.Index(got, "GET /2"), strings.Index(got, "HTTP/1.1 400")
	if first < 0 || second < first || third < second {
		t.Errorf("got:\n%s", got)
	}
}

func TestRequestArrivingByteByByteIsServed(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c := w.dial()
	for range 2 {
		for _, b := range []byte(post + "Transfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0 \r\nX: y\r\n\r\n") {
			c.Write([]byte{b})
		}
	}
	for range 2 {
		if res, body := c.answer("POST"); res.StatusCode != 200 || body != "abc" {
			t.Errorf("%s %q", res.Status, body)
		}
	}
}

// FuzzFramer checks that the framer comes to the same end however its input is
// cut, and that net/http sees the end of each request where it does.
func FuzzFramer(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/ HTTP/1.0\r\n\r\n",
		post + "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nxyz",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, input []byte, step uint8) {
		var whole framer
		passed, err := whole.pass(input)
		cut, cutErr := inPieces(input, int(step)+1)
		if cut != passed || (err == nil) != (cutErr == nil) {
			t.Fatalf("whole: %d passed, %v; in pieces: %d passed, %v", passed, err, cut, cutErr)
		}
		rest := bufio.NewReader(bytes.NewReader(input[:passed]))
		for whole.atStart() && err == nil {
			if _, end := rest.Peek(1); end != nil {
				return
			}
			r, bad := http.ReadRequest(rest)
			if bad != nil {
				return // stricter than the framer in targets
			}
			if _, bad := io.Copy(io.Discard, r.Body); bad != nil {
				if len(r.TransferEncoding) > 0 {
					return // stricter in trailers and in the overhead of chunks
				}
				t.Fatalf("net/http misses something of %q: %v", input[:passed], bad)
			}
		}
	})
}

func inPieces(input []byte, size int) (passed int, err error) {
	var f framer
	var held []byte
	for len(input) > 0 && err == nil {
		n := min(size, len(input))
		held = append(held, input[:n]...)
		input = input[n:]
		n, err = f.pass(held)
		held = held[n:]
		passed += n
	}
	return passed, err
}
