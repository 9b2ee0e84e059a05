package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echoHead is a backend that answers with the head it read.
func echoHead(c *rawConn) {
	for {
		head := c.head()
		if head == "" {
			return
		}
		c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(head), head)
	}
}

func TestTargetReachesBackendByteForByte(t *testing.T) {
	w := newWorld(t, rawApp(t, echoHead))
	c := w.dial()
	for _, target := range []string{
		"/", "//", "//a//b", "/a//b/", "///", "//host/path?x", "//{a}|b", "/a\\b", "/{x}\"<>^`|", "/%7e%2F%00%ff", "/a/../b/./c", "/a?", "/a?b;c=d&e",
		"/?a=%zz&%", "/a#b", "/\xc3\xbc", "/a:b@c", "/http://x/y", "/;p=1", "/a?//b?c",
	} {
		for _, method := range []string{"GET", "PURGE"} {
			c.send("%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, target)
			_, got := c.answer(method)
			if line, _, _ := strings.Cut(got, "\r\n"); line != method+" "+target+" HTTP/1.1" {
				t.Errorf("%q reached the backend as %q", target, line)
			}
		}
	}
}

func TestAbsoluteTargetBecomesOriginForm(t *testing.T) {
	w := newWorld(t, rawApp(t, echoHead))
	for target, want := range map[string]string{
		"http://other:81/a//b?c": "/a//b?c",
		"http://other:81":        "/",
		"HTTP://other:81?q":      "/?q",
		"http://other:81//x":     "//x",
	} {
		c := w.dial().send("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target)
		_, got := c.answer("GET")
		mustContain(t, got, "GET "+want+" HTTP/1.1\r\n", "Host: other:81\r\n", "X-Forwarded-Host: other:81\r\n")
	}
	_, got := w.dial().send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").answer("OPTIONS")
	mustContain(t, got, "OPTIONS * HTTP/1.1\r\n")
}

func TestHeadersOfTheHopStayOnTheHop(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) {
		head := c.head()
		c.send("HTTP/1.1 200 OK\r\nConnection: X-Back\r\nX-Back: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: %d\r\n\r\n%s", len(head), head)
	}))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, Host, Content-Length\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nTE: gzip\r\n" +
		"Forwarded: for=1.1.1.1\r\nVia: 1.1 x\r\nX-Real-IP: 1.1.1.1\r\nCookie: a=b\r\nContent-Length: 2\r\n\r\nhi")
	res, got := c.answer("POST")
	mustContain(t, got, "Host: a\r\n", "Content-Length: 2\r\n", "Forwarded: for=1.1.1.1\r\n", "Via: 1.1 x\r\n", "X-Real-Ip: 1.1.1.1\r\n", "Cookie: a=b\r\n")
	for _, gone := range []string{"X-Hop", "Keep-Alive", "Proxy-", "Te:", "User-Agent", "Accept-Encoding"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s reached the backend:\n%s", gone, got)
		}
	}
	for _, gone := range []string{"X-Back", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Connection", "Content-Type"} {
		if res.Header.Get(gone) != "" {
			t.Errorf("%s reached the client: %v", gone, res.Header)
		}
	}
	if res.Header.Get("X-End") != "1" {
		t.Errorf("X-End is missing: %v", res.Header)
	}
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").answer("POST") // kept alive
}

func TestForwardedHeaders(t *testing.T) {
	given := "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: pub\r\nX-Forwarded-Port: 443\r\n"
	for name, row := range map[string]struct {
		host, given string
		untrusted   bool
		want        []string
	}{
		"set when absent": {"a:8080", "", false, []string{"For: 127.0.0.1", "Proto: http", "Host: a:8080", "Port: 8080"}},
		"port 80":         {"a", "", false, []string{"For: 127.0.0.1", "Host: a", "Port: 80"}},
		"IPv6 host":       {"[::1]:99", "", false, []string{"Host: [::1]:99", "Port: 99"}},
		"kept":            {"a", given, false, []string{"For: 1.2.3.4, 5.6.7.8, 127.0.0.1", "Proto: https", "Host: pub", "Port: 443"}},
		"replaced":        {"a:8080", given, true, []string{"For: 127.0.0.1", "Proto: http", "Host: a:8080", "Port: 8080"}},
		"not nominated":   {"a", given + "Connection: X-Forwarded-For, X-Forwarded-Proto\r\n", false, []string{"For: 1.2.3.4, 5.6.7.8, 127.0.0.1", "Proto: https"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rawApp(t, echoHead))
			if row.untrusted {
				opt := w.defaults()
				opt.TrustedProxies = loopback[1:]
				w.Configure(opt)
			}
			_, got := w.dial().send("GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", row.host, row.given).answer("GET")
			for _, want := range row.want {
				mustContain(t, got, "X-Forwarded-"+want+"\r\n")
			}
			mustContain(t, got, "Host: "+row.host+"\r\n")
		})
	}
}

func TestAnswersPassAsTheyAre(t *testing.T) {
	for name, row := range map[string]struct{ method, answer, head, body string }{
		"two cookies":     {"GET", "200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", ""},
		"HEAD":            {"HEAD", "200 OK\r\nContent-Length: 5\r\n\r\n", "Content-Length: 5\r\n", ""},
		"204":             {"GET", "204 No Content\r\n\r\n", "HTTP/1.1 204 ", ""},
		"304":             {"GET", "304 Not Modified\r\nETag: x\r\n\r\n", "Etag: x\r\n", ""},
		"status 299":      {"GET", "299 Custom\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 299 ", ""},
		"chunked":         {"GET", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "abc"},
		"until close":     {"GET", "200 OK\r\n\r\nabc", "Transfer-Encoding: chunked\r\n", "abc"},
		"useless trailer": {"GET", "200 OK\r\nTrailer: X\r\nContent-Length: 2\r\n\r\nok", "Content-Length: 2\r\n", "ok"},
		"HEAD trailer":    {"HEAD", "200 OK\r\nTrailer: X\r\nContent-Length: 2\r\n\r\n", "Content-Length: 2\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rawApp(t, func(c *rawConn) {
				c.head()
				c.send("HTTP/1.1 %s", row.answer)
			}))
			c := w.dial().send("%s / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nConnection: close\r\n\r\n", row.method)
			head := c.head()
			mustContain(t, head, row.head)
			if body := c.rest(); !strings.Contains(body, row.body) || row.body == "" && body != "" {
				t.Errorf("body %q, want %q", body, row.body)
			}
		})
	}
}

func TestTrailersAndInterimAnswersPassBothWays(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "got "+r.Trailer.Get("X-In"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}))
	c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-In\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-In: 42\r\n\r\n")
	mustContain(t, c.head(), "HTTP/1.1 103 Early Hints\r\n", "Link: </style.css>\r\n")
	res, body := c.answer("POST")
	if body != "body" || res.Trailer.Get("X-Sum") != "got 42" || res.Trailer.Get("X-Late") != "yes" {
		t.Errorf("body %q, trailer %v", body, res.Trailer)
	}
}

func TestOldClientGetsPlainBodyAndNoInterimAnswer(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) {
		head := c.head()
		c.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(head), head)
	}))
	got := w.dial().send("GET / HTTP/1.0\r\n\r\n").rest()
	mustContain(t, got, "HTTP/1.0 200 OK\r\n", "\r\n\r\nGET / HTTP/1.1\r\n", "Host: "+w.up.addr+"\r\n")
	if strings.Contains(got, "Early Hints") || strings.Contains(got, "chunked") {
		t.Errorf("not for HTTP/1.0:\n%s", got)
	}
}

func TestContinueComesFromTheBackendOnce(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	mustContain(t, c.head(), "HTTP/1.1 100 Continue\r\n")
	if res, body := c.send("abc").answer("POST"); res.StatusCode != 200 || body != "abc" {
		t.Errorf("%s %q", res.Status, body)
	}
}

func TestRefusedExpectationNeverAsksForTheBody(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }))
	c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if res, _ := c.answer("POST"); res.StatusCode != http.StatusForbidden {
		t.Errorf("answered %s", res.Status)
	}
}

func TestAnswerStreamsAsItComes(t *testing.T) {
	next := make(chan bool)
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		for part := range next {
			_ = part
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
		}
	}))
	c := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	next <- true
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		if i < 2 {
			next <- true
		}
	}
	close(next)
}

func TestLargeBodiesPassBothWays(t *testing.T) {
	const size = 200 << 20
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		if n, err := io.Copy(w, r.Body); n != size || err != nil {
			t.Errorf("backend got %d bytes, %v", n, err)
		}
	}))
	body := io.LimitReader(zeros{}, size)
	res, err := http.Post("http://"+w.addr, "", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Errorf("client got %d bytes, %v", n, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestChunkedDeleteKeepsItsBody(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c := w.dial()
	for range 2 {
		if _, body := c.send("DELETE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").answer("DELETE"); body != "abc" {
			t.Errorf("backend got %q", body)
		}
	}
}

func TestWithoutReleaseAnswersUnavailable(t *testing.T) {
	w := newWorld(t, "")
	c := w.dial()
	res, body := c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	if res.StatusCode != 503 || body != "No active release\n" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%s %v %q", res.Status, res.Header, body)
	}
	c.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.HasSuffix(got, "\r\n\r\n") {
		t.Errorf("HEAD: %q", got)
	}
}

func TestInvalidAnswersAreBadGateways(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":         "",
		"garbage":         "hello\r\n\r\n",
		"status 099":      "HTTP/1.1 099 X\r\n\r\n",
		"unasked 101":     "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"other 101":       "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		"half a head":     "HTTP/1.1 200 OK\r\nContent-",
		"endless head":    "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxAnswerHead) + "\r\n\r\n",
		"two lengths":     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"negative length": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rawApp(t, func(c *rawConn) { c.head(); c.send("%s", answer) }))
			c := w.dial()
			for _, method := range []string{"GET", "POST"} {
				res, body := c.send("%s / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", method).answer(method)
				if res.StatusCode != 502 || !strings.HasPrefix(body, "Bad gateway") || strings.Count(body, "\n") != 1 {
					t.Errorf("%s: %s %q", method, res.Status, body)
				}
			}
			mustContain(t, w.noted(), "release r1 at "+w.up.addr+": ")
		})
	}
}

func TestBackendThatBreaksOffEndsTheConnection(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rawApp(t, func(c *rawConn) { c.head(); c.send("%s", answer) }))
			got := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").rest()
			if !strings.Contains(got, "abc") || strings.HasSuffix(got, "0\r\n\r\n") {
				t.Errorf("got %q", got)
			}
			w.eventuallyOpen(Open{})
			mustContain(t, w.noted(), "release r1", "broke off")
		})
	}
}

func TestClientThatLeavesEndsTheRequest(t *testing.T) {
	for name, request := range map[string]string{
		"GET":      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"upload":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
		"download": "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan bool, 1)
			w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/stream" {
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
				seen <- true
			}))
			c := w.dial().send("%s", request)
			w.eventuallyOpen(Open{HTTP: 1})
			time.Sleep(5 * time.Millisecond) // in the middle of things, wherever that is
			c.reset()
			w.eventuallyOpen(Open{})
			<-seen
			if got := w.noted(); got != "<nil>" {
				t.Errorf("reported as an upstream's error: %s", got)
			}
		})
	}
}

func TestPipelinedRequestsAreCountedAndAnsweredInOrder(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or closing could reset the connection
		w.Header().Set("Connection", "close")
		io.WriteString(w, r.URL.Path)
	}))
	one := "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
	c := w.dial().send(one+one+"POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"+one, 1, 2, 4)
	for i, method := range []string{"GET", "GET", "POST", "GET"} {
		if _, body := c.answer(method); body != fmt.Sprintf("/%d", i+1) {
			t.Errorf("answer %d is %q", i+1, body)
		}
	}
	w.eventuallyOpen(Open{})
}

func TestConnectionsAreKeptAliveOnBothSides(t *testing.T) {
	accepted := make(chan bool, 10)
	w := newWorld(t, rawApp(t, func(c *rawConn) { accepted <- true; echoHead(c) }))
	c := w.dial()
	for range 3 {
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	}
	if n := len(accepted); n != 1 {
		t.Errorf("%d connections to the backend", n)
	}
}

func TestBackendThatClosesIdleConnectionsLosesNothing(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) { // one answer, then closed without a word
		head := c.head()
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = head
	}))
	c := w.dial()
	for i := range 200 {
		method := []string{"GET", "POST"}[i%2]
		if res, _ := c.send("%s / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", method).answer(method); res.StatusCode != 200 {
			t.Fatalf("request %d: %s", i, res.Status)
		}
	}
}

func TestSentPostIsNeverSentAgain(t *testing.T) {
	sent := make(chan bool, 10)
	w := newWorld(t, rawApp(t, func(c *rawConn) { c.head(); sent <- true }))
	w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").answer("POST")
	if n := len(sent); n != 1 {
		t.Errorf("sent %d times", n)
	}
	w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET")
	if n := len(sent); n != 3 {
		t.Errorf("GET was sent %d times, want twice", n-1)
	}
}

func TestOtherUpgradesAreIgnoredAndEndTheConnection(t *testing.T) {
	w := newWorld(t, rawApp(t, echoHead))
	for _, extra := range []string{"GET / HTTP/1.1\r\nUpgrade: h2c\r\n", "POST / HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", "GET / HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"} {
		c := w.dial().send("%sHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", extra)
		got := c.rest()
		mustContain(t, got, "HTTP/1.1 200 OK\r\n", "Connection: close\r\n")
		for _, bad := range []string{"Upgrade:", "Http2-Settings", "smuggled"} {
			if strings.Contains(got, bad) {
				t.Errorf("%s in:\n%s", bad, got)
			}
		}
	}
}

func TestUpstreamOnIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	s := &http.Server{Handler: http.NotFoundHandler()}
	go s.Serve(l)
	defer s.Close()
	w := newWorld(t, l.Addr().String())
	if res, _ := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET"); res.StatusCode != 404 {
		t.Errorf("answered %s", res.Status)
	}
}

func TestEarlyAnswerDoesNotWaitForTheBody(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) {
		c.head()
		c.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		io.Copy(io.Discard, c)
	}))
	c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
	if res, _ := c.answer("POST"); res.StatusCode != 413 {
		t.Errorf("answered %s", res.Status)
	}
	w.eventuallyOpen(Open{})
	c.Close()
}

// An application may close with bytes unread, which resets the connection.
func TestEarlyAnswerArrivesThoughTheApplicationReadsNoMore(t *testing.T) {
	w := newWorld(t, rawApp(t, func(c *rawConn) {
		c.head()
		c.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
	}))
	for range 40 {
		c := w.dial()
		go c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n%04000000d", 0)
		if res, body := c.answer("POST"); res.StatusCode != 413 || body != "abc" {
			t.Fatalf("answered %s, %q", res.Status, body)
		}
		c.Close()
	}
	if got := w.noted(); got != "<nil>" {
		t.Error(got)
	}
}

func TestUploadEndsWithItsApplication(t *testing.T) {
	for _, end := range []func(*rawConn){func(c *rawConn) { c.Close() }, (*rawConn).reset} {
		w := newWorld(t, rawApp(t, func(c *rawConn) {
			c.head()
			io.ReadFull(c.r, make([]byte, 3))
			end(c)
		}))
		c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
		if res, body := c.answer("POST"); res.StatusCode != 502 || !res.Close || body != "Bad gateway: the application closed the connection without an answer\n" {
			t.Errorf("answered %s, close %t, %q", res.Status, res.Close, body)
		}
		mustContain(t, w.noted(), errHungUp.Error())
	}
}

// golang/go#68560: the server would read on behind a body that nobody has read, and
// panic.
func TestAnswerBeforeTheBodyWasReadEndsTheConnection(t *testing.T) {
	w := newWorld(t, "")
	for _, body := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		c := w.dial().send("POST / HTTP/1.1\r\nHost: a\r\n%s", body)
		mustContain(t, c.rest(), "HTTP/1.1 503 Service Unavailable\r\n", "Connection: close\r\n", "No active release")
	}
	if got := w.noted(); strings.Contains(got, "panic") {
		t.Error(got)
	}
}

func TestAnswerAfterTheBodyWasReadKeepsTheConnection(t *testing.T) {
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	c := w.dial()
	for range 2 {
		for _, body := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
			if res, got := c.send("POST / HTTP/1.1\r\nHost: a\r\n%s", body).answer("POST"); res.Close || got != "abc" {
				t.Errorf("got %q, the connection ends: %t", got, res.Close)
			}
		}
	}
}

func TestPanicInTheWatcherIsNotFatal(t *testing.T) {
	w := newWorld(t, "127.0.0.1:1")
	w.Configure(Options{OnError: func(err error) {
		w.note(err)
		if strings.Contains(err.Error(), "release r1") {
			panic("from outside")
		}
	}})
	w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").rest()
	w.Configure(w.defaults())
	w.eventuallyOpen(Open{})
	mustContain(t, w.noted(), "from outside")
	w.Switch(nil)
	if res, _ := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").answer("GET"); res.StatusCode != 503 {
		t.Errorf("answered %s", res.Status)
	}
}

func TestDrainWaitsForTheLastByte(t *testing.T) {
	finish := make(chan bool)
	w := newWorld(t, app(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-finish
		io.WriteString(w, "end")
	}))
	c := w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	w.eventuallyOpen(Open{HTTP: 1})
	w.Switch(nil)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := w.up.Drain(ctx); err != context.DeadlineExceeded {
		t.Errorf("Drain with an open request: %v", err)
	}
	close(finish)
	if err := w.up.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if _, body := c.answer("GET"); body != "end" {
		t.Errorf("got %q", body)
	}
}
