package acceptance

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rollbridge/socket/sockettest"
)

func Test048to063_ProcessEnvironment(t *testing.T) {
	config := strings.Replace(basicConfig, "  - {id: web,", `  - {id: a-worker, command: "echo {{application}} {{releaseId}} {{  releasePath  }} {{revision}} {{processId}} {{replicaIndex}}/{{replicaCount}} {{ports.web}} {{a b}} {{}} {{env.MARK}}; exec $APP worker", env: {ROLLBRIDGE_REVISION: mine, GREETING: "hello {{releaseId}}"}}
  - {id: web,`, 1)
	h := newHost(t, config)
	h.env = append(h.env, "ROLLBRIDGE_APPLICATION=other", "NOTIFY_SOCKET=/nowhere", "LISTEN_FDS=1")
	h.startDaemon()
	h.deploy("v1")
	worker, web := h.process("a-worker"), h.process("web")
	port := h.releases()["v1"]["ports"].(object)["web"]
	want := fmt.Sprintf("echo %s v1 %s v1 a-worker 0/1 %v {{a b}} {{}} %s; ", h.app, h.path("releases/v1"), port, h.dir)
	if command := worker["command"].(string); !strings.HasPrefix(command, want) {
		t.Errorf("command %q, want %q", command, want)
	}
	if worker["cwd"] != h.path("releases/v1") {
		t.Errorf("cwd %v", worker["cwd"])
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid(worker)))
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(string(environ), "\x00")
	for _, entry := range []string{
		"ROLLBRIDGE_APPLICATION=" + h.app, "ROLLBRIDGE_PROCESS_ID=a-worker", "ROLLBRIDGE_RELEASE_ID=v1", "ROLLBRIDGE_RELEASE_PATH=" + h.path("releases/v1"),
		"ROLLBRIDGE_REVISION=mine", "ROLLBRIDGE_REPLICA_INDEX=0", "ROLLBRIDGE_REPLICA_COUNT=1", fmt.Sprintf("ROLLBRIDGE_WEB_PORT=%v", port), "GREETING=hello v1",
	} {
		if !slices.Contains(env, entry) {
			t.Errorf("the environment lacks %s", entry)
		}
	}
	for _, entry := range env {
		if strings.HasPrefix(entry, "NOTIFY_SOCKET=") || strings.HasPrefix(entry, "LISTEN_FDS=") || strings.HasPrefix(entry, "ROLLBRIDGE_PORT=") {
			t.Errorf("the environment has %s", entry)
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid(web)))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")"):]))
	if id := fmt.Sprint(pid(web)); fields[3] != id || fields[4] != id {
		t.Errorf("pid %s, process group %s, session %s", id, fields[3], fields[4])
	}
	if stdin, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid(web))); stdin != "/dev/null" {
		t.Errorf("stdin is %s", stdin)
	}
}

func Test050_MissingTemplateValue(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "echo {{nope}}"}`)
	if r := h.tryDeploy("v1"); r.code != 1 || !strings.Contains(r.stderr, "Missing template value for {{nope}}") {
		t.Errorf("%+v", r)
	}
}

func Test061_Replicas(t *testing.T) {
	h := start(t, basicConfig+`  - {id: w, replicas: 3, command: "exec $APP worker"}`)
	h.deploy("v1")
	for i := range 3 {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid(h.process(fmt.Sprintf("w#%d", i)))))
		for _, entry := range []string{"ROLLBRIDGE_PROCESS_ID=w", fmt.Sprintf("ROLLBRIDGE_REPLICA_INDEX=%d", i), "ROLLBRIDGE_REPLICA_COUNT=3"} {
			if !strings.Contains(string(environ), entry+"\x00") {
				t.Errorf("w#%d lacks %s", i, entry)
			}
		}
	}
}

func Test078_079_TwoDeploys(t *testing.T) {
	h := start(t, basicConfig)
	has(t, "first", h.deploy("v1"), object{"status": "success", "activeReleaseId": "v1", "previousReleaseId": nil})
	has(t, "second", h.deploy("v2"), object{"activeReleaseId": "v2", "previousReleaseId": "v1"})
	if _, body := h.get("/release"); body != "v2" {
		t.Errorf("release %s", body)
	}
	h.awaitState("v1", "stopped")
	release := h.releases()["v2"]
	has(t, "release", release, object{"releasePath": h.path("releases/v2"), "revision": "v2", "state": "active", "connectionCount": 0})
	if release["activatedAt"] == nil || release["ports"].(object)["web"] == nil {
		t.Errorf("release %v", release)
	}
}

func Test080_081_ReleaseIDDefaults(t *testing.T) {
	h := start(t, basicConfig)
	if id := h.must("deploy", "--release-path", h.release("x"), "--revision", "r1")["activeReleaseId"]; id != "r1" {
		t.Errorf("id %v", id)
	}
	if id := h.must("deploy", "--release-path", h.release("x"))["activeReleaseId"].(string); !regexp.MustCompile(`^\d{17}$`).MatchString(id) {
		t.Errorf("id %v", id)
	}
}

func Test082_083_UnhealthyReleaseIsRefused(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "healthTimeoutMs: 20000", "healthTimeoutMs: 3000", 1))
	h.deploy("v1")
	for name, says := range map[string]string{"500": ": HTTP 500", "304": ": HTTP 304", "redirect": ": HTTP 302", "silent": "no answer within 3s"} {
		begun := time.Now()
		r := h.tryDeploy("bad-"+name, "ping", name)
		if r.code != 1 || !strings.Contains(r.stderr, "Health check failed for http://127.0.0.1:") || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: %+v", name, r)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		if _, body := h.get("/release"); body != "v1" {
			t.Errorf("release %s", body)
		}
	}
	equal(t, "states", h.states(), []string{"v1 active"})
	messages := h.messages()
	for _, message := range []string{"release startup failed", "release startup process status", "deploy failed", "command failed"} {
		if !slices.Contains(messages, message) {
			t.Errorf("no event %q", message)
		}
	}
}

func Test084_Health204(t *testing.T) { start(t, basicConfig).deploy("v1", "ping", "204") }

func Test085_SlowStartIsWaitedFor(t *testing.T) {
	h := start(t, basicConfig)
	begun := time.Now()
	h.deploy("v1", "slow-start", "1000")
	if took := time.Since(begun); took < time.Second {
		t.Errorf("took %s", took)
	}
}

func TestExitBeforeHealthyFailsAtOnce(t *testing.T) {
	h := start(t, basicConfig)
	begun := time.Now()
	r := h.tryDeploy("v1", "exit", "3")
	if r.code != 1 || !strings.Contains(r.stderr, "exited with status 3") || !strings.Contains(r.stderr, "cannot load the application") {
		t.Errorf("%+v", r)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %s, though the health check may take 20", took)
	}
}

func TestAnotherProcessOnThePortIsNotHealth(t *testing.T) {
	port := sockettest.FreePort(t)
	// The command binds the port of another process of its own making, outside
	// of its group: a listener that is not this release's.
	h := start(t, strings.Replace(basicConfig, `"exec $APP web", port: PORTS`, fmt.Sprintf(`"sleep 1000", port: %d`, port), 1))
	h.awaitEvent("control socket listening", nil)
	done := make(chan result, 1)
	dir := h.release("v1")
	go func() { done <- h.cli("deploy", "--release-path", dir, "--release-id", "v1") }()
	h.awaitEvent("process started", of("web"))
	foreign, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	go func() {
		for {
			conn, err := foreign.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
			conn.Close()
		}
	}()
	if r := <-done; r.code != 1 || !strings.Contains(r.stderr, "another process") {
		t.Errorf("%+v", r)
	}
}

func Test088_089_MissingReleasePath(t *testing.T) {
	h := start(t, basicConfig)
	h.fails(2, "required option '--release-path <path>' not specified", "deploy")
	h.fails(1, "does not exist", "deploy", "--release-path", h.path("nowhere"))
	if answer := h.call(`{"command":"deploy"}`); answer["error"] != "releasePath is required" {
		t.Errorf("answer %v", answer)
	}
}

func Test090_FullPortRange(t *testing.T) {
	a, _ := net.Listen("tcp", "127.0.0.1:0")
	defer a.Close()
	port := a.Addr().(*net.TCPAddr).Port
	h := start(t, strings.Replace(basicConfig, `web", port: PORTS`, fmt.Sprintf(`web", port: %d`, port), 1))
	says := fmt.Sprintf("No available ports in range %d-%d (1 port on 127.0.0.1): 0 reserved by this deploy, 1 already in use", port, port)
	if r := h.tryDeploy("v1"); r.code != 1 || !strings.Contains(r.stderr, says) {
		t.Errorf("%+v", r)
	}
}

func Test092_094_Order(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exec $APP worker"}
  - {id: clock, policy: singleton, command: "exec $APP worker"}
  - {id: broker, policy: service, command: "exec $APP worker"}
`)
	h.deploy("v1")
	var order []string
	for _, event := range h.log() {
		switch data := event["data"].(object); event["message"] {
		case "deploy starting", "traffic switched":
			order = append(order, event["message"].(string))
		case "process started":
			order = append(order, data["processId"].(string))
		}
	}
	equal(t, "order", order, []string{"deploy starting", "broker", "worker", "web", "traffic switched", "clock"})
}

func Test093_CompanionThatEndsIsAWarning(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exit 127", restartDelayMs: 20}`)
	r := h.tryDeploy("v1", "slow-start", "500")
	if r.code != 0 || !strings.Contains(r.stdout, `"processId": "worker"`) {
		t.Errorf("%+v", r)
	}
}

func TestCompanionThatGivesUpFailsTheDeploy(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exit 127", restart: {maxRestarts: 0}}`)
	if r := h.tryDeploy("v1", "slow-start", "500"); r.code != 1 || !strings.Contains(r.stderr, "process worker: gave up") {
		t.Errorf("%+v", r)
	}
}

func Test096_ClientMayLeave(t *testing.T) {
	h := start(t, basicConfig)
	conn := h.dialControl()
	io.WriteString(conn, `{"command":"deploy","releaseId":"v1","releasePath":"`+h.release("v1", "slow-start", "300")+`"}`+"\n")
	h.awaitEvent("deploy starting", nil)
	conn.Close()
	h.awaitEvent("traffic switched", nil)
}

func Test099to104_Services(t *testing.T) {
	h := start(t, basicConfig+`  - {id: svc, policy: service, port: 0, command: "exec $APP worker {{releaseId}}", restartDelayMs: 50}`)
	if r := h.tryDeploy("bad", "exit", "1"); r.code != 1 || len(h.status()["services"].([]any)) != 0 {
		t.Errorf("a failed first deploy: %+v, services %v", r, h.status()["services"])
	}
	h.deploy("v1")
	first := h.process("svc")
	h.deploy("v2")
	second := h.process("svc")
	if pid(first) != pid(second) || first["port"] != second["port"] || !strings.HasSuffix(second["command"].(string), "worker v2") {
		t.Errorf("first %v, second %v", first, second)
	}
	h.kill("svc", syscall.SIGKILL)
	h.awaitEvent("process started", func(data object) bool {
		return data["processId"] == "svc" && data["reason"] == "crash" && data["releaseId"] == "v2"
	})
	third := h.process("svc")
	has(t, "restarted", third, object{"restarts": 1, "port": first["port"], "lastStartReason": "crash"})
	killed := func(data object) bool { return data["processId"] == "svc" && data["signal"] == "SIGKILL" }
	if exit := h.awaitEvent("process exited", killed); exit["releaseId"] != "v1" {
		t.Errorf("the exit is told of the wrong release: %v", exit)
	}
	h.tryDeploy("bad2", "exit", "1")
	if pid(h.process("svc")) != pid(third) {
		t.Error("a failed second deploy touched the service")
	}
	h.must("stop")
	h.kill("svc", syscall.SIGKILL)
	h.awaitEvents(2, "process started", func(data object) bool { return data["processId"] == "svc" && data["reason"] == "crash" })
}

func Test105_SingletonsNeverOverlap(t *testing.T) {
	h := start(t, basicConfig+`  - {id: clock, policy: singleton, command: "exec $APP worker linger=300ms"}`)
	h.deploy("v1")
	h.awaitDiary("start clock@v1")
	h.deploy("v2")
	h.awaitDiary("start clock@v2")
	equal(t, "diary", h.diary(), []string{"start clock@v1", "signal SIGTERM clock@v1", "end clock@v1", "start clock@v2"})
}

func Test107_SingletonThatCannotStart(t *testing.T) {
	h := start(t, basicConfig+`  - {id: clock, policy: singleton, cwd: sub, command: "exec $APP worker"}`)
	os.MkdirAll(h.path("releases/v1/sub"), 0o755)
	h.deploy("v1")
	h.awaitDiary("start clock@v1")
	r := h.tryDeploy("v2")
	if r.code != 1 || !strings.Contains(r.stderr, "release v2 is active") || !strings.Contains(r.stderr, h.path("releases/v2/sub")) {
		t.Errorf("%+v", r)
	}
	status := h.status()
	if status["activeReleaseId"] != "v2" || processIn(t, status, "clock")["state"] != "failed" {
		t.Errorf("status %v", status)
	}
	if lines := h.diary(); lines[len(lines)-1] != "end clock@v1" {
		t.Errorf("diary %v", lines)
	}
	h.awaitState("v1", "stopped")
}

func Test108_KilledSingletonIsRestarted(t *testing.T) {
	h := start(t, basicConfig+`  - {id: clock, policy: singleton, restartDelayMs: 20, command: "exec $APP worker"}`)
	h.deploy("v1")
	h.kill("clock", syscall.SIGKILL)
	h.awaitEvent("process started", func(data object) bool { return data["processId"] == "clock" && data["reason"] == "crash" })
	h.must("stop")
	h.kill("clock", syscall.SIGKILL)
	h.awaitEvents(2, "process started", func(data object) bool { return data["processId"] == "clock" && data["reason"] == "crash" })
}

func Test109to112_HandoffService(t *testing.T) {
	h := start(t, basicConfig+`  - {id: cable, policy: service, deployStrategy: handoff, port: {from: 20000, to: 29999}, restartDelayMs: 20, command: "exec $APP worker"}
  - {id: worker, command: "exec $APP worker"}
`)
	h.deploy("v1")
	ws := h.websocket()
	echo(t, ws, "hi")
	h.deploy("v2")
	one, two := h.releaseProcess("v1", "cable"), h.releaseProcess("v2", "cable")
	if one["state"] != "running" || two["state"] != "running" || one["port"] == two["port"] {
		t.Errorf("v1 %v, v2 %v", one, two)
	}
	if len(h.status()["services"].([]any)) != 0 {
		t.Error("a handoff service is listed under services")
	}
	h.kill("cable", syscall.SIGKILL)
	started := h.awaitEvent("process started", func(data object) bool { return data["processId"] == "cable" && data["reason"] == "crash" })
	if started["releaseId"] != "v2" || h.process("cable")["port"] != two["port"] {
		t.Errorf("restarted %v", started)
	}
	ws.Close()
	h.awaitState("v1", "stopped")
	var ended []string
	for _, line := range h.diary() {
		if strings.HasPrefix(line, "end ") {
			ended = append(ended, line)
		}
	}
	equal(t, "end", ended, []string{"end worker@v1", "end cable@v1"})
}

func Test113_114_WebSocketHoldsTheDrain(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	ws := h.websocket()
	if got := echo(t, ws, "one"); got != "v1 one" {
		t.Errorf("echo %q", got)
	}
	h.deploy("v2")
	release := h.releases()["v1"]
	has(t, "draining", release, object{"state": "draining", "connectionCount": 1})
	has(t, "connections", release["connections"].(object), object{"http": 0, "websocket": 1})
	if release["drainStartedAt"] == nil {
		t.Error("no drainStartedAt")
	}
	if got := echo(t, ws, "two"); got != "v1 two" {
		t.Errorf("echo %q", got)
	}
	ws.Close()
	h.awaitEvent("release drained", ofRelease("v1"))
	h.awaitState("v1", "stopped")
	if h.releases()["v1"]["stoppedAt"] == nil {
		t.Error("no stoppedAt")
	}
}

func Test115_WebSocketGetsACloseFrameAtTheDeadline(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "port: 0, healthTimeoutMs", "port: 0, drainTimeoutMs: 1000, healthTimeoutMs", 1))
	h.deploy("v1")
	ws := h.websocket()
	echo(t, ws, "hi")
	h.deploy("v2")
	begun, err := time.Parse(time.RFC3339, h.releases()["v1"]["drainStartedAt"].(string))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = ws.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("read: %v", err)
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("cut %s after the drain began, before its deadline", took)
	}
	h.awaitState("v1", "stopped")
}

func Test116_SlowRequestFinishes(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	url := "http://" + h.addr() + "/slow?for=1s"
	answer := make(chan string, 1)
	go func() {
		_, body := get(t, url)
		answer <- body
	}()
	h.eventually("the request is counted", func() bool { return h.releases()["v1"]["connectionCount"] == 1.0 })
	h.deploy("v2")
	if body := <-answer; body != "v1" {
		t.Errorf("answer %q", body)
	}
	h.awaitState("v1", "stopped")
}

func Test118_IdleKeepAliveIsNotCounted(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	conn, err := net.Dial("tcp", h.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /release HTTP/1.1\r\nHost: x\r\n\r\n")
	conn.Read(make([]byte, 4096))
	h.eventually("nothing is counted", func() bool { return h.releases()["v1"]["connectionCount"] == 0.0 })
	h.deploy("v2")
	h.awaitState("v1", "stopped")
}

func Test119_120_NonBlockingDrain(t *testing.T) {
	h := start(t, basicConfig+`  - {id: early, nonBlockingDrain: true, command: "exec $APP worker"}
  - {id: late, restartDelayMs: 10, command: "exec $APP worker"}
`)
	h.deploy("v1")
	ws := h.websocket()
	echo(t, ws, "hi")
	h.awaitDiary("start early@v1")
	h.deploy("v2")
	h.awaitDiary("end early@v1")
	has(t, "web", h.releaseProcess("v1", "web"), object{"state": "running"})
	syscall.Kill(pid(h.releaseProcess("v1", "late")), syscall.SIGKILL)
	h.awaitEvent("process exited", func(data object) bool { return data["processId"] == "late" && data["releaseId"] == "v1" })
	has(t, "late", h.releaseProcess("v1", "late"), object{"state": "failed", "exitSignal": "SIGKILL", "exitCode": nil, "retryAt": nil})
	ws.Close()
	h.awaitState("v1", "stopped")
	for _, data := range h.awaitEvents(2, "process started", of("late")) {
		if data["reason"] != "deploy" {
			t.Errorf("restarted while it drains: %v", data)
		}
	}
}

func Test241_DeployOfTheActiveID(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "port: 0, healthTimeoutMs", "port: 0, drainTimeoutMs: 2000, healthTimeoutMs", 1))
	h.deploy("v1")
	ws := h.websocket()
	echo(t, ws, "hi")
	old := pid(h.process("web"))
	has(t, "second", h.deploy("v1"), object{"previousReleaseId": "v1", "generation": 2})
	equal(t, "states", h.states(), []string{"v1 draining", "v1 active"})
	if err := syscall.Kill(old, 0); err != nil {
		t.Errorf("the old web process: %v", err)
	}
	h.must("shutdown")
	h.awaitExit()
	if left := h.left(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func Test240_TwoDeploysInOneWrite(t *testing.T) {
	h := start(t, basicConfig)
	good, bad := h.release("good", "slow-start", "300"), h.release("bad", "ping", "500")
	answers := h.calls(2, fmt.Sprintf(`{"command":"deploy","id":1,"releaseId":"good","releasePath":%q}`+"\n"+`{"command":"deploy","id":2,"releaseId":"bad","releasePath":%q}`+"\n", good, bad))
	busy := 0
	for _, answer := range answers {
		if answer["code"] == "busy" {
			busy++
		}
	}
	if busy != 1 {
		t.Errorf("answers %v", answers)
	}
	if active := h.status()["activeReleaseId"]; active == "bad" {
		t.Error("the unhealthy release is active")
	}
}

func Test242_RestartBesideDeployNeverDoublesASingleton(t *testing.T) {
	h := start(t, basicConfig+`  - {id: clock, policy: singleton, command: "exec $APP worker linger=500ms"}`)
	h.deploy("v1")
	h.awaitDiary("start clock@v1")
	dir := h.release("v2")
	h.calls(2, fmt.Sprintf(`{"command":"restart","processId":"clock","wait":true}`+"\n"+`{"command":"deploy","releaseId":"v2","releasePath":%q,"wait":true}`+"\n", dir))
	alive := 0
	for _, line := range h.diary() {
		switch {
		case strings.HasPrefix(line, "start"):
			alive++
		case strings.HasPrefix(line, "end"):
			alive--
		}
		if alive > 1 {
			t.Fatalf("two at once: %v", h.diary())
		}
	}
}

func TestCancelUndoesADeploy(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	answer := make(chan object, 1)
	dir := h.release("v2", "ping", "silent")
	go func() {
		answer <- h.call(fmt.Sprintf(`{"command":"deploy","releaseId":"v2","releasePath":%q}`, dir))
	}()
	h.awaitEvent("process started", ofRelease("v2"))
	has(t, "cancel", h.must("cancel"), object{"cancelled": "deploy"})
	has(t, "deploy", <-answer, object{"status": "error", "code": "cancelled"})
	equal(t, "states", h.states(), []string{"v1 active"})
}

func Test188_RequestsWaitWhileTheWebProcessRestarts(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "gracefulStopMs: 2000", "restartDelayMs: 300", 1))
	h.deploy("v1")
	h.kill("web", syscall.SIGKILL)
	if code, body := h.get("/release"); code != 200 || body != "v1" {
		t.Errorf("%d %q", code, body)
	}
}

func Test209to214_ConfigIsReadAgain(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exec $APP worker one"}
  - {id: other, command: "exec $APP worker"}
`)
	h.deploy("v1")
	h.edit("worker one", "worker two")
	h.deploy("v2")
	if command := h.process("worker")["command"].(string); !strings.HasSuffix(command, "worker two") {
		t.Errorf("command %q", command)
	}
	for from, name := range map[string]string{
		"application: " + h.app: "application", "proxy: {port: 0": "proxy.port", "control.sock}": "control", "id: other,": "processes",
	} {
		to := map[string]string{
			"application": "application: store", "proxy.port": "proxy: {port: 1", "control": "control.sock, mode: \"0666\"}", "processes": "id: another,",
		}[name]
		h.edit(from, to)
		r := h.tryDeploy("v3")
		if r.code != 1 || !strings.Contains(r.stderr, "Config changes to ") || !strings.Contains(r.stderr, name) {
			t.Errorf("%s: %+v", name, r)
		}
		h.edit(to, from)
	}
	h.edit("application: ", "applicatoin: ")
	answer := h.call(fmt.Sprintf(`{"command":"deploy","releasePath":%q}`, h.release("v4")))
	if text, _ := answer["error"].(string); !strings.Contains(text, "applicatoin") {
		t.Errorf("answer %v", answer)
	}
	if active := h.status()["activeReleaseId"]; active != "v2" {
		t.Errorf("active %v", active)
	}
}

func TestReleaseDirectoryDeletedMeanwhile(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, restartDelayMs: 20, command: "exec $APP worker"}`)
	h.deploy("v1")
	os.Rename(h.path("releases/v1"), h.path("releases/away"))
	h.kill("worker", syscall.SIGKILL)
	h.awaitEvents(2, "process restart failed", of("worker")) // and tried again
	os.Rename(h.path("releases/away"), h.path("releases/v1"))
	h.awaitEvent("process started", func(data object) bool { return data["processId"] == "worker" && data["reason"] == "crash" })
}
