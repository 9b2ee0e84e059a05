package nginx

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The failures in the table of docs/nginx.md, each with what nginx logs, and its
// cure.

const (
	http11     = "\tproxy_http_version 1.1;\n"
	connection = "\tproxy_set_header Connection $connection_upgrade;\n"
	upgrade    = "\tproxy_set_header Upgrade    $http_upgrade;\n"
	pass       = "\t\tproxy_pass http://rollbridge_"
)

var (
	closing   = variant("closing", shop, connection, "")
	bursts    = variant("bursts", shop, http11, "", "proxy_buffering          on;", "proxy_ignore_headers X-Accel-Buffering;")
	noUpgrade = variant("noupgrade", shop, upgrade, "")
	http10    = variant("http10", shop, http11, "")
	portless  = variant("portless", shop, "Host              $host:$server_port", "Host              $host")
	impatient = variant("impatient", shop, "proxy_read_timeout 1h", "proxy_read_timeout 1s", "impatient.log", "impatient.log info")
	narrow    = variant("narrow", shop, "client_max_body_size    2g", "client_max_body_size 1m")
	tightHead = variant("tighthead", shop, "proxy_buffer_size        16k", "proxy_buffer_size 128")
	inherit   = variant("inherit", shop, pass, "\t\tproxy_set_header X-Other 1;\n"+pass)
	slash     = variant("slash", shop, pass+"slash;\n\t}\n\n\t#", pass+"slash/;\n\t}\n\n\t#")
	https     = variant("https", shop, "$scheme", "https") // as behind a certificate
	distrust  = variant("distrust", strict, "$scheme", "https")
	labSite   = variant("lab", lab)
	twice     = variant("localhost", lab, "server 127.0.0.1:8282", "server localhost:8282")
	port      = variant("port", lab, "server 127.0.0.1:8282", "server 127.0.0.1:18020")
)

// is checks an answer.
func (s *site) is(t *testing.T, path string, status int, contains string) {
	t.Helper()
	res, body := s.get(t, path)
	if res.StatusCode != status || !strings.Contains(body, contains) {
		t.Errorf("%s: %s is answered %s, %q; want %d, %q", s.name, path, res.Status, body, status, contains)
	}
}

func TestNobodyListens(t *testing.T) {
	sockets := "rollbridge@lab.socket"
	t.Cleanup(func() { command(t, "systemctl", "start", sockets) })
	command(t, "systemctl", "stop", sockets, lab.unit())
	labSite.is(t, "/", 502, "<h1>502 Bad Gateway</h1>")
	labSite.awaitSaid(t, "connect() failed (111: Connection refused) while connecting to upstream")

	// A name with two addresses makes two servers, which a worker of nginx leaves alone
	// after a failure, though rollbridge may be there again.
	for range 10 {
		twice.is(t, "/", 502, "<h1>502 Bad Gateway</h1>")
	}
	command(t, "systemctl", "start", sockets, lab.unit())
	labSite.is(t, "/", 503, "No active release")
	twice.is(t, "/", 502, "<h1>502 Bad Gateway</h1>")
	twice.awaitSaid(t, "no live upstreams while connecting to upstream")
	lab.take(t, "v1")
	labSite.is(t, "/release", 200, "v1")
}

func TestUnixSocketIsOutOfReach(t *testing.T) {
	const path = "/run/rollbridge-shop.sock"
	t.Cleanup(func() { os.Chmod(path, 0o666) })
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	unixSocket.is(t, "/", 502, "<h1>502 Bad Gateway</h1>")
	unixSocket.awaitSaid(t, "connect() to unix:"+path+" failed (13: Permission denied) while connecting to upstream")
	os.Chmod(path, 0o666)
	unixSocket.is(t, "/", 200, "Welcome")

	command(t, "systemctl", "stop", "rollbridge@uds.socket", overUds.unit())
	t.Cleanup(func() {
		command(t, "systemctl", "start", "rollbridge@uds.socket", overUds.unit())
		overUds.awaitActive(t)
	})
	os.Remove(path)
	unixSocket.is(t, "/", 502, "<h1>502 Bad Gateway</h1>")
	unixSocket.awaitSaid(t, "connect() to unix:"+path+" failed (2: No such file or directory) while connecting to upstream")
}

func TestNoReleaseIsActive(t *testing.T) {
	lab.take(t, "v1")
	if err := lab.cli("stop"); err != nil {
		t.Fatal(err)
	}
	quiet := labSite.quiet(t)
	labSite.is(t, "/", 503, "No active release\n")
	lab.take(t, "v1")
	labSite.is(t, "/release", 200, "v1\n")
	quiet()
}

func TestTheWebProcessDies(t *testing.T) {
	lab.take(t, "v1")
	quiet := labSite.quiet(t)
	failed := make(chan string)
	go func() {
		res, body, err := labSite.ask("/slow?ms=30000")
		if err != nil {
			body = err.Error()
		}
		failed <- fmt.Sprint(res.StatusCode, " ", body)
	}()
	eventually(t, "the request is forwarded", func() bool { return lab.active(t).ConnectionCount > 0 })
	kill(t, lab.webPID(t))
	labSite.is(t, "/", 503, "Active release is restarting and took too long\n") // holdTimeoutMs is short
	if got := <-failed; !strings.HasPrefix(got, "502 Bad gateway: ") && !strings.HasPrefix(got, "503 Active release") {
		t.Errorf("the request under way is answered %q", got)
	}
	quiet()
	kill(t, shop.webPID(t))
	shipped.is(t, "/", 200, "Welcome") // it waits
}

func TestCutByADeploy(t *testing.T) {
	lab.take(t, "v1")
	stream := func(s *site, parts int) <-chan error {
		res, err := client.Get(s.url(fmt.Sprintf("/stream?parts=%d&ms=100", parts)))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			defer res.Body.Close()
			_, err := io.Copy(io.Discard, res.Body)
			ended <- err
		}()
		return ended
	}
	long := stream(labSite, 300)
	upload := labSite.begin(t, "POST /upload HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 1000000\r\n\r\nthe first part")
	eventually(t, "both are forwarded", func() bool { return lab.active(t).ConnectionCount > 1 })
	lab.take(t, "v2")
	if err := <-long; err == nil {
		t.Error("a stream that is longer than the drain came whole")
	}
	labSite.awaitSaid(t, "upstream prematurely closed connection while reading upstream")
	answer, _ := io.ReadAll(upload) // though its client is silent
	if !strings.HasPrefix(string(answer), "HTTP/1.1 502 ") || !strings.HasSuffix(string(answer), "\r\n\r\nBad gateway: the application closed the connection without an answer\n") {
		t.Errorf("an upload that is longer than the drain is answered %q", answer)
	}

	short := stream(shipped, 10)
	next := map[string]string{"v1": "v2"}[shop.active(t).ReleaseID]
	if next == "" {
		next = "v1"
	}
	shop.take(t, next)
	if err := <-short; err != nil {
		t.Errorf("a stream that is shorter than the drain ends with %v", err)
	}
}

func TestPortOfARelease(t *testing.T) {
	lab.take(t, "v1")
	for i := 0; lab.address(t) != "127.0.0.1:18020"; i++ {
		lab.take(t, fmt.Sprintf("v%d", i%2+2))
	}
	port.is(t, "/ping", 200, "pong")
	lab.take(t, "next")
	eventually(t, "the release has ended", func() bool { return lab.only("next") })
	port.is(t, "/ping", 502, "<h1>502 Bad Gateway</h1>")
	port.awaitSaid(t, `connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: shop.example.com, request: "GET /ping HTTP/1.1", upstream: "http://127.0.0.1:18020/ping"`)
	labSite.is(t, "/ping", 200, "pong")
}

func TestWebSocketIsDroppedWhileIdle(t *testing.T) {
	t.Parallel()
	idle, fine, lively := impatient.open(t), shipped.open(t), impatient.open(t)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-time.After(200 * time.Millisecond):
				lively.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience))
			case <-stop:
				return
			}
		}
	}()
	answered := make(chan error, 1)
	go func() {
		_, back, err := lively.ReadMessage() // answers nothing, but sees the pongs
		if string(back) == "still here" {
			err = nil
		}
		answered <- err
	}()
	if _, _, err := idle.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		t.Errorf("an idle WebSocket ends with %v", err)
	}
	impatient.awaitSaid(t, "upstream timed out (110: Connection timed out) while proxying upgraded connection")
	time.Sleep(1500 * time.Millisecond) // longer than the other ones may be silent
	lively.WriteMessage(websocket.TextMessage, []byte("still here"))
	if err := <-answered; err != nil {
		t.Errorf("a WebSocket with pings ends with %v", err)
	}
	talks(t, fine)
}

func TestWebSocketNeverConnects(t *testing.T) {
	t.Parallel()
	for _, s := range []*site{noUpgrade, closing, http10, inherit} {
		_, res, err := s.dial("")
		if err == nil || res == nil || res.StatusCode != 400 {
			t.Errorf("%s: the handshake ends with %v, %v", s.name, res, err)
		}
		s.is(t, "/", 200, "Welcome")
	}
	origin := func(s *site) string { return strings.TrimSuffix(s.url(""), "/") }
	if _, res, err := portless.dial(origin(portless)); err == nil || res.StatusCode != 403 {
		t.Errorf("a page whose port is not passed on gets %v, %v", res, err)
	}
	for s, origin := range map[*site]string{unixSocket: origin(unixSocket), shipped: "http://" + host} {
		conn, _, err := s.dial(origin)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		conn.Close()
	}
}

func TestAnswerTakesTooLong(t *testing.T) {
	t.Parallel()
	impatient.is(t, "/slow?ms=2500", 504, "<h1>504 Gateway Time-out</h1>")
	impatient.awaitSaid(t, "upstream timed out (110: Connection timed out) while reading response header from upstream")
	shipped.is(t, "/slow?ms=2500", 200, "")
}

func TestBodyOrHeadIsTooLarge(t *testing.T) {
	t.Parallel()
	body := make([]byte, 2<<20)
	for s, want := range map[*site]int{narrow: 413, shipped: 200} {
		if res, text, err := s.send("POST", "/upload", bytes.NewReader(body)); err != nil || res.StatusCode != want {
			t.Errorf("%s: an upload of 2 MB: %v, %v, %q; want %d", s.name, res, err, text, want)
		}
	}
	narrow.awaitSaid(t, "client intended to send too large body: 2097152 bytes")
	tightHead.is(t, "/", 502, "<h1>502 Bad Gateway</h1>")
	tightHead.awaitSaid(t, "upstream sent too big header while reading response header from upstream")
	for _, c := range []struct {
		headers []int
		status  int
		says    string
	}{
		{[]int{9000}, 400, "Request Header Or Cookie Too Large"},
		{[]int{7000, 7000, 7000}, 431, "431 Request Header Fields Too Large"},
		{[]int{7000, 7000}, 200, ""},
	} {
		var header []string
		for i, n := range c.headers {
			header = append(header, fmt.Sprintf("X-Long-%d", i), strings.Repeat("x", n))
		}
		if res, text, err := shipped.send("GET", "/", nil, header...); err != nil || res.StatusCode != c.status || !strings.Contains(text, c.says) {
			t.Errorf("headers of %d bytes: %v, %v, %q; want %d", c.headers, res, err, text, c.status)
		}
	}
}

func TestWrongSchemeAddressOrPath(t *testing.T) {
	t.Parallel()
	https.is(t, "/request", 200, "X-Forwarded-Proto: https\r\n")
	distrust.is(t, "/request", 200, "X-Forwarded-Proto: http\r\n")
	distrust.is(t, "/request", 200, "X-Forwarded-For: 127.0.0.1\r\n") // of nginx alone
	inherit.is(t, "/request", 200, "Host: rollbridge_inherit\n")
	inherit.is(t, "/request", 200, "X-Forwarded-For: 127.0.0.1\r\n")
	slash.is(t, "/%72equest", 200, "GET /request HTTP/1.1\n")
	shipped.is(t, "/%72equest", 200, "GET /%72equest HTTP/1.1\n")
	res, body, err := (&site{port: 80}).ask("/") // the name of the site
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%v, %q, %v", res, body, err)
	}
	if res, err := http.Get("http://127.0.0.1/"); err != nil || res.StatusCode != 200 || res.Header.Get("X-Release") != "" {
		t.Errorf("another name than the site's: %v, %v", res, err)
	}
}

// TestConnectionsRunOut starts an nginx of its own that may have few connections.
func TestConnectionsRunOut(t *testing.T) {
	t.Parallel()
	small := &site{name: "small", in: shop, port: 8099, text: shipped.text}
	small.edit("\tlisten 80;\n\tlisten [::]:80;\n", "\tlisten 8099;\n")
	conf := "user www-data; worker_processes 1; pid /run/small.pid; error_log /var/log/nginx/small.log;\n" +
		"events { worker_connections 16; }\nhttp {\n" + small.text + "\n}\n"
	if err := os.WriteFile("/etc/nginx/small.conf", []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, "nginx", "-c", "/etc/nginx/small.conf")
	t.Cleanup(func() { command(t, "nginx", "-c", "/etc/nginx/small.conf", "-s", "stop") })
	var err error
	for range 16 {
		var conn *websocket.Conn
		if conn, _, err = small.dial(""); err != nil {
			break
		}
		defer conn.Close()
	}
	if err == nil {
		t.Error("16 connections are enough for 16 WebSockets")
	}
	t.Logf("the client sees %v", err)
	small.awaitSaid(t, "16 worker_connections are not enough")
}

// TestQueueOfAUnixSocketIsFull stops a daemon for a while that has a short queue.
func TestQueueOfAUnixSocketIsFull(t *testing.T) {
	const dropIn = "/run/systemd/system/rollbridge@uds.socket.d/60-short.conf"
	const sockets = "rollbridge@uds.socket"
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dropIn, []byte("[Socket]\nBacklog=4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, "systemctl", "daemon-reload")
	command(t, "systemctl", "restart", sockets)
	overUds.awaitActive(t)
	pid := mainPID(t, overUds.unit())
	t.Cleanup(func() {
		syscall.Kill(pid, syscall.SIGCONT)
		os.Remove(dropIn)
		command(t, "systemctl", "daemon-reload")
		command(t, "systemctl", "restart", sockets)
		overUds.awaitActive(t)
	})
	syscall.Kill(pid, syscall.SIGSTOP)
	eventually(t, "every thread of the daemon has stopped", func() bool { return stopped(t, pid) }) // until then it accepts
	for range 8 {
		go unixSocket.ask("/")
	}
	unixSocket.awaitSaid(t, "connect() to unix:/run/rollbridge-shop.sock failed (11: Resource temporarily unavailable) while connecting to upstream")
}
