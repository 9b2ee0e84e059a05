package acceptance

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Starting and stopping the daemon. Numbers in names are those of the checks in
// the contract.

func Test064_ListeningIsLogged(t *testing.T) {
	h := start(t, basicConfig)
	equal(t, "events", h.messages()[:2], []string{"proxy listening", "control socket listening"})
	for _, event := range h.log() {
		if len(event) != 3 || event["at"] == nil || event["data"] == nil {
			t.Errorf("event %v", event)
		}
	}
}

func Test065_EphemeralPortIsReported(t *testing.T) {
	h := start(t, basicConfig)
	if port := h.status()["proxy"].(object)["port"].(float64); port == 0 {
		t.Error("port 0")
	}
}

func Test066_TakenProxyPortIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	h := newHost(t, strings.Replace(basicConfig, "port: 0, healthTimeoutMs", "port: "+addr[len("127.0.0.1:"):]+", healthTimeoutMs", 1))
	h.fails(1, "EADDRINUSE: address already in use "+addr, "daemon")
}

func Test067_SecondDaemonIsRefused(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	h.fails(1, `A Rollbridge daemon for application "`+h.app+`" is already running on `+h.socket()+` (active release: v1)`, "daemon")
	if code, body := h.get("/release"); code != 200 || body != "v1" {
		t.Errorf("the first one was harmed: %d %s", code, body)
	}
}

func Test068_ForeignListenerOnTheControlPath(t *testing.T) {
	h := newHost(t, basicConfig)
	l, err := net.Listen("unix", h.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begun := time.Now()
	h.fails(1, "already in use by another process", "daemon")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func Test069_StaleSocketIsReplaced(t *testing.T) {
	h := newHost(t, basicConfig)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.socket()})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	h.startDaemon()
	h.status()
}

func TestFileAtTheControlPathIsKept(t *testing.T) {
	h := newHost(t, basicConfig)
	h.write("control.sock", "precious")
	h.fails(1, h.socket(), "daemon")
	if b, _ := os.ReadFile(h.socket()); string(b) != "precious" {
		t.Errorf("the file is now %q", b)
	}
}

func TestControlSocketMode(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "control.sock}", "control.sock, mode: \"0660\"}", 1))
	info, err := os.Stat(h.socket())
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func Test070_SignalsEndTheDaemonGracefully(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			h := start(t, basicConfig+`  - {id: worker, command: "exec $APP worker linger=100ms"}`)
			h.deploy("v1")
			h.awaitDiary("start worker@v1")
			h.cmd.Process.Signal(sig)
			if code := h.awaitExit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			equal(t, "diary", h.diary(), []string{"start worker@v1", "signal SIGTERM worker@v1", "end worker@v1"})
			if _, err := os.Stat(h.socket()); !os.IsNotExist(err) {
				t.Errorf("the socket is still there: %v", err)
			}
		})
	}
}

func Test072_NoReleaseIs503(t *testing.T) {
	h := start(t, basicConfig)
	if code, body := h.get("/"); code != 503 || !strings.HasPrefix(body, "No active release") {
		t.Errorf("%d %q", code, body)
	}
}

func Test073_ShutdownAnswersWhenEverythingIsGone(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exec $APP worker linger=500ms"}`)
	h.deploy("v1")
	h.awaitDiary("start worker@v1")
	if answer := h.must("shutdown"); answer["message"] != "shutdown" {
		t.Errorf("answer %v", answer)
	}
	if left := h.left(); len(left) > 1 { // the daemon itself may be on its way out
		t.Errorf("left running: %v", left)
	}
	if _, err := os.Stat(h.socket()); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	h.startDaemon()
	h.status()
}

func Test074_ShutdownClosesIdleControlClients(t *testing.T) {
	h := start(t, basicConfig)
	idle := h.dialControl()
	defer idle.Close()
	h.must("shutdown")
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v", err)
	}
}

func Test075_ShutdownWithoutDaemon(t *testing.T) {
	h := newHost(t, basicConfig)
	h.fails(3, "connect ENOENT", "shutdown")
}

func Test236to250_IdleClientsDoNotDelayShutdown(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	conn, err := net.Dial("tcp", h.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := time.Now()
	h.must("shutdown")
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %s", took)
	}
}

func Test244_SecondSignalChangesNothing(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exec $APP worker linger=1s"}`)
	h.deploy("v1")
	h.awaitDiary("start worker@v1")
	h.cmd.Process.Signal(syscall.SIGTERM)
	h.awaitEvent("shutdown starting", nil)
	h.cmd.Process.Signal(syscall.SIGTERM)
	h.cmd.Process.Signal(syscall.SIGINT)
	if code := h.awaitExit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	equal(t, "diary", h.diary(), []string{"start worker@v1", "signal SIGTERM worker@v1", "end worker@v1"})
}

func TestHangupIsHarmless(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	h.cmd.Process.Signal(syscall.SIGHUP)
	h.awaitEvent("signal received", func(data object) bool { return data["signal"] == "SIGHUP" })
	if code, body := h.get("/release"); code != 200 || body != "v1" {
		t.Errorf("%d %s", code, body)
	}
}

func Test239_DaemonOutlivesTheReaderOfItsLog(t *testing.T) {
	h := newHost(t, basicConfig)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd = exec.Command(binary, "daemon", "--config", h.config)
	h.cmd.Env, h.cmd.Dir, h.cmd.Stdout = h.env, h.dir, w
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.exited = make(chan struct{})
	go func() { h.cmd.Wait(); close(h.exited) }()
	w.Close()
	r.Read(make([]byte, 1))
	r.Close()
	h.eventually("it takes commands", func() bool { _, err := os.Stat(h.socket()); return err == nil })
	h.deploy("v1")
	if code, body := h.get("/release"); code != 200 || body != "v1" {
		t.Errorf("%d %s", code, body)
	}
}

func Test243_RestartAndShutdownTogetherLeaveNothing(t *testing.T) {
	h := start(t, basicConfig+`  - {id: svc, policy: service, command: "exec $APP worker linger=1s"}`)
	h.deploy("v1")
	h.awaitDiary("start svc@v1")
	conn := h.dialControl()
	defer conn.Close()
	io.WriteString(conn, `{"command":"restart","processId":"svc"}`+"\n")
	h.awaitDiary("signal SIGTERM svc@v1")
	h.must("shutdown")
	h.awaitExit()
	if left := h.left(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestShutdownDuringDeployUndoesIt(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	conn := h.dialControl()
	defer conn.Close()
	io.WriteString(conn, `{"command":"deploy","releaseId":"v2","releasePath":"`+h.release("v2", "ping", "silent")+`"}`+"\n")
	h.awaitEvent("process started", ofRelease("v2"))
	h.cmd.Process.Signal(syscall.SIGTERM)
	h.awaitExit()
	if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
		t.Errorf("the deploying client got %q, %v", b, err)
	}
	if left := h.left(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestTenThousandIdleConnectionsHurtNobody(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	addr := h.addr()
	for range 10_000 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	h.deploy("v2")
	if code, body := h.get("/release"); code != 200 || body != "v2" {
		t.Errorf("%d %s", code, body)
	}
	h.awaitState("v1", "stopped")
	begun := time.Now()
	h.must("shutdown")
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the shutdown took %s", took)
	}
}
