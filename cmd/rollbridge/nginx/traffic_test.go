package nginx

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// both are the two ways from nginx to rollbridge.
var both = []*site{shipped, unixSocket}

// unixSocket is the variant that the comment in the upstream speaks of.
var unixSocket = variant("unix", overUds)

// securedPort is where the variant with a certificate listens.
const securedPort = 8443

var secured = func() *site {
	s := variant("tls", shop)
	s.uncomment()
	s.edit(fmt.Sprintf("\tlisten %d;\n", s.port), "")
	s.edit("\tserver unix:/run/rollbridge-shop.sock;\n", "")
	s.edit("listen [::]:443 ssl;\n", "\n")
	s.edit("listen 443 ssl", fmt.Sprintf("listen %d ssl", securedPort))
	s.edit("\tlisten 80;\n\tlisten [::]:80;\n", fmt.Sprintf("\tlisten %d;\n", s.port))
	s.edit("/etc/letsencrypt/live/shop.example.com", "/etc/nginx/test")
	return s
}()

func TestAppSeesTheClientAndItsScheme(t *testing.T) {
	for _, s := range both {
		// What a client says about itself does not reach the application.
		_, seen, err := s.send("GET", "/request", nil, "X-Forwarded-For", "192.0.2.1", "X-Real-IP", "192.0.2.1", "Forwarded", "for=192.0.2.1",
			"X-Forwarded-Proto", "gopher", "X-Forwarded-Host", "elsewhere.example", "X-Forwarded-Port", "1")
		if err != nil {
			t.Fatal(err)
		}
		name, chain := host, "127.0.0.1, 127.0.0.1" // the client, and nginx as rollbridge sees it
		if s == unixSocket {
			name, chain = fmt.Sprintf("%s:%d", host, s.port), "127.0.0.1" // a socket has no address
		}
		for _, line := range []string{"GET /request HTTP/1.1", "Host: " + name, "X-Forwarded-For: " + chain, "X-Real-Ip: 127.0.0.1",
			"X-Forwarded-Proto: http", "X-Forwarded-Host: " + host, "X-Forwarded-Port: " + strconv.Itoa(s.port)} {
			if !strings.Contains(seen, line+"\n") && !strings.Contains(seen, line+"\r\n") {
				t.Errorf("%s: the application does not see %q in\n%s", s.name, line, seen)
			}
		}
		if strings.Contains(seen, "192.0.2.1") || strings.Contains(seen, "elsewhere") {
			t.Errorf("%s: the application sees what the client made up:\n%s", s.name, seen)
		}
	}
}

// behindCDN is for another proxy in front of nginx.
var behindCDN = variant("cdn", shop, "\tproxy_http_version", "\tset_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;\n\tproxy_http_version")

func TestAppSeesTheClientBehindAnotherProxy(t *testing.T) {
	_, seen, err := behindCDN.send("GET", "/request", nil, "X-Forwarded-For", "192.0.2.1")
	if err != nil || !strings.Contains(seen, "X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n") {
		t.Errorf("the application sees %q, %v", seen, err)
	}
}

func TestOldClientsAreServed(t *testing.T) {
	for _, s := range both {
		release := s.in.active(t).ReleaseID
		for _, request := range []string{"GET /release HTTP/1.0\r\nHost: " + host + "\r\n\r\n", "GET /release HTTP/1.0\r\n\r\n"} {
			if s == shipped && !strings.Contains(request, "Host") {
				continue // nginx's own default site has port 80
			}
			if answer := s.raw(t, request); !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(answer, "\r\n\r\n"+release+"\n") {
				t.Errorf("%s: %q is answered %q", s.name, request, answer)
			}
		}
		answer := s.raw(t, "GET /stream?parts=2&ms=1 HTTP/1.0\r\nHost: "+host+"\r\n\r\n")
		if strings.Contains(answer, "chunked") || !strings.HasSuffix(answer, fmt.Sprintf("\r\n\r\ndata: part 0 of release %[1]s\n\ndata: part 1 of release %[1]s\n\ndata: end\n\n", release)) {
			t.Errorf("%s: a stream is answered %q", s.name, answer)
		}
	}
}

func TestUpstreamConnectionsAreReused(t *testing.T) {
	const requests = 200
	idle := &http.Client{Transport: &http.Transport{}}
	defer idle.CloseIdleConnections()
	for _, c := range []struct {
		site *site
		most int
	}{
		{shipped, 2 * len(workers(t))},
		{closing, requests + 10},
	} {
		before := connectionsTo(t, 8182)
		for range requests {
			res, err := idle.Get(c.site.url("/release"))
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		made := 0
		for c := range connectionsTo(t, 8182) {
			if !before[c] {
				made++
			}
		}
		t.Logf("%s: %d connections for %d requests", c.site.name, made, requests)
		if made > c.most || c.site == closing && made < requests/2 { // a port may have been used before
			t.Errorf("%s: %d requests took %d connections", c.site.name, requests, made)
		}
	}
}

// connectionsTo are the connections to a port by their other ends, those too that
// ended within the last minute.
func connectionsTo(t *testing.T, port int) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	to := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case f[2] == to:
			seen[f[1]] = true
		case f[1] == to:
			seen[f[2]] = true
		}
	}
	return seen
}

func TestWebSockets(t *testing.T) {
	for _, s := range both {
		conn := s.open(t)
		talks(t, conn)
		pong := make(chan string, 1)
		conn.SetPongHandler(func(text string) error { pong <- text; return nil })
		conn.WriteControl(websocket.PingMessage, []byte("ping"), time.Now().Add(patience))
		talks(t, conn)
		if len(pong) != 1 {
			t.Errorf("%s: no pong", s.name)
		}
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "done")
		conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience))
		if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Errorf("%s: the WebSocket ends with %v", s.name, err)
		}
	}
}

func TestEventsArriveOneByOne(t *testing.T) {
	t.Parallel()
	const parts, gap = 4, 300
	for _, s := range append(both, bursts) {
		at := s.events(t, fmt.Sprintf("/stream?parts=%d&ms=%d", parts, gap))
		if len(at) != parts+1 {
			t.Fatalf("%s: %d events came", s.name, len(at))
		}
		took := at[parts].Sub(at[0])
		t.Logf("%s: %v from the first to the last event", s.name, took)
		if oneByOne := took > parts*gap/2*time.Millisecond; oneByOne == (s == bursts) {
			t.Errorf("%s: the events came within %v", s.name, took)
		}
	}
}

func TestTLS(t *testing.T) {
	curl := []string{"curl", "-sS", "--fail", "--cacert", "/etc/nginx/test/fullchain.pem"}
	seen := command(t, append(curl, fmt.Sprintf("https://%s:%d/request", host, securedPort))...)
	for _, line := range []string{"X-Forwarded-Proto: https", "X-Forwarded-For: 127.0.0.1, 127.0.0.1", "X-Forwarded-Port: " + strconv.Itoa(securedPort)} {
		if !strings.Contains(seen, line+"\r\n") {
			t.Errorf("the application does not see %q in\n%s", line, seen)
		}
	}
	answer := secured.raw(t, "GET /a?b HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 301 ") || !strings.Contains(answer, "\r\nLocation: https://"+host+"/a?b\r\n") {
		t.Errorf("plain HTTP is answered %q", answer)
	}
}

func TestTheSiteIsAcceptedWithoutAWord(t *testing.T) {
	out := command(t, "sh", "-c", "nginx -t 2>&1")
	for in := bufio.NewScanner(strings.NewReader(out)); in.Scan(); {
		if !strings.HasSuffix(in.Text(), "syntax is ok") && !strings.HasSuffix(in.Text(), "test is successful") {
			t.Errorf("nginx -t: %s", in.Text())
		}
	}
	t.Logf("%s", command(t, "sh", "-c", "nginx -v 2>&1"))
}
