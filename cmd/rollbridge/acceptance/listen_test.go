package acceptance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// Several addresses, and Unix sockets.

// onUnix is a configuration with a Unix socket beside the port.
var onUnix = strings.Replace(basicConfig, "port: 0, healthTimeoutMs", `listen: ["127.0.0.1:0", "unix:proxy.sock"], healthTimeoutMs`, 1)

// getUnix asks the proxy through its Unix socket.
func (h *host) getUnix(path string) (int, string) {
	h.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: h.dialUnix}, Timeout: patience}
	res, err := client.Get("http://localhost" + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (h *host) dialUnix(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", h.path("proxy.sock"))
}

func TestProxyServesOnAllItsAddresses(t *testing.T) {
	h := start(t, onUnix)
	h.deploy("v1")
	if code, body := h.get("/release"); code != 200 || body != "v1" {
		t.Errorf("port: %d %s", code, body)
	}
	if code, body := h.getUnix("/release"); code != 200 || body != "v1" {
		t.Errorf("Unix socket: %d %s", code, body)
	}
	dialer := websocket.Dialer{NetDialContext: h.dialUnix}
	conn, _, err := dialer.Dial("ws://localhost/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, conn, "hi")
	conn.Close()

	info, err := os.Lstat(h.path("proxy.sock"))
	if err != nil || info.Mode() != os.ModeSocket|0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	equal(t, "events", h.messages()[:3], []string{"proxy listening", "proxy listening", "control socket listening"})
	listen := h.status()["proxy"].(object)["listen"].([]any)
	equal(t, "listen", listen, []any{h.addr(), "unix:" + h.path("proxy.sock")})
	if text := h.cli("status", "--text").stdout; !strings.Contains(text, h.addr()+", unix:"+h.path("proxy.sock")) {
		t.Errorf("status: %s", text)
	}
	h.must("shutdown")
	if _, err := os.Lstat(h.path("proxy.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestProxyOnAUnixSocketAlone(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "port: 0, healthTimeoutMs", `listen: ["unix:proxy.sock"], healthTimeoutMs`, 1))
	h.deploy("v1")
	if code, body := h.getUnix("/release"); code != 200 || body != "v1" {
		t.Errorf("%d %s", code, body)
	}
	has(t, "proxy", h.status()["proxy"].(object), object{"host": "", "port": 0.0, "upstreamHost": "127.0.0.1"})
}

func TestTakenAddressLeavesTheOthersFree(t *testing.T) {
	h := newHost(t, onUnix)
	h.write("proxy.sock", "precious")
	h.fails(1, "proxy socket "+h.path("proxy.sock")+": a file is in the way", "daemon")
	if b, err := os.ReadFile(h.path("proxy.sock")); string(b) != "precious" {
		t.Errorf("the file: %q, %v", b, err)
	}
	if _, err := os.Lstat(h.socket()); !os.IsNotExist(err) {
		t.Errorf("the control socket: %v", err)
	}
}

func TestSocketOfAKilledDaemonIsReplaced(t *testing.T) {
	h := start(t, onUnix)
	h.cmd.Process.Kill()
	<-h.exited
	if _, err := os.Lstat(h.path("proxy.sock")); err != nil {
		t.Fatal(err)
	}
	h.startDaemon()
	if code, _ := h.getUnix("/"); code != 503 {
		t.Errorf("answers %d", code)
	}
}

func TestChangedAddressesNeedARestart(t *testing.T) {
	h := start(t, onUnix)
	h.deploy("v1")
	h.edit("unix:proxy.sock", "unix:other.sock")
	h.fails(1, "Config changes to proxy.listen cannot be applied live", "deploy", "--release-path", h.release("v2"), "--release-id", "v2")
}

// activated has the next daemon take sockets as systemd passes them: the shell's
// process becomes the daemon.
func (h *host) activated(names string, files ...*os.File) {
	h.t.Helper()
	h.wrap, h.files = h.path("activated"), files
	script := "#!/bin/sh\nLISTEN_PID=$$ exec " + binary + ` "$@"` + "\n"
	if err := os.WriteFile(h.wrap, []byte(script), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.env = append(h.env, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
}

func TestActivatedSocketsAreServedAndLeftAlone(t *testing.T) {
	h := newHost(t, basicConfig)
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	control, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.socket()})
	if err != nil {
		t.Fatal(err)
	}
	control.SetUnlinkOnClose(false)
	defer control.Close()
	h.activated("control:proxy", fileOf(t, control), fileOf(t, proxy.(*net.TCPListener)))
	h.startDaemon()
	h.deploy("v1")
	res, err := http.Get("http://" + proxy.Addr().String() + "/release")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if h.addr() != proxy.Addr().String() {
		t.Errorf("status says %s, not %s", h.addr(), proxy.Addr())
	}
	if event := h.log()[0]; event["data"].(object)["activated"] != true {
		t.Errorf("event %v", event)
	}
	h.edit("port: 0, healthTimeoutMs", "port: 1, healthTimeoutMs")
	h.fails(1, "systemd listens on "+proxy.Addr().String()+", not on 127.0.0.1:1 as proxy.listen says", "deploy", "--release-path", h.release("v2"), "--release-id", "v2")
	has(t, "status", h.status(), object{"activeReleaseId": "v1"})
	if problems, _ := h.status()["problems"].([]any); len(problems) != 1 {
		t.Errorf("problems: %v", problems)
	}
	h.must("shutdown")
	if _, err := os.Lstat(h.socket()); err != nil {
		t.Errorf("the socket's file: %v", err)
	}
}

func TestActivationWithoutAControlSocketIsExplained(t *testing.T) {
	h := newHost(t, basicConfig)
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	h.activated("proxy", fileOf(t, proxy.(*net.TCPListener)))
	h.spawn()
	<-h.exited
	if text := h.stderr.String(); !strings.Contains(text, "has passed no socket\nhint: ") || strings.Count(text, "\n") != 2 {
		t.Errorf("stderr: %s", text)
	}
	if _, err := os.Lstat(h.socket()); !os.IsNotExist(err) {
		t.Errorf("a socket of its own: %v", err)
	}
}

func fileOf(t *testing.T, l interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
