package acceptance

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func Test121to125_Stop(t *testing.T) {
	h := start(t, basicConfig+`  - {id: worker, command: "exec $APP worker linger=500ms"}`)
	h.fails(1, "Release not found: active", "stop")
	h.deploy("v1")
	h.fails(1, "Release not found: zz", "stop", "--release-id", "zz")
	h.awaitDiary("start worker@v1")
	done := make(chan object, 1)
	go func() { done <- h.must("stop") }()
	h.awaitDiary("signal SIGTERM worker@v1")
	has(t, "worker", h.releaseProcess("v1", "worker"), object{"state": "stopping"})
	if code, _ := h.get("/"); code != 503 {
		t.Errorf("proxy answers %d", code)
	}
	answer := <-done
	has(t, "stop", answer, object{"status": "success", "activeReleaseId": nil})
	equal(t, "states", h.states(), []string{"v1 stopped"})
}

func Test124_StopOfADrainingRelease(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	echo(t, h.websocket(), "hi")
	h.deploy("v2")
	h.must("stop", "--release-id", "v1")
	equal(t, "states", h.states(), []string{"v1 stopped", "v2 active"})
}

func Test126_Retention(t *testing.T) {
	h := start(t, basicConfig+"releaseRetention: {keep: 2}\n")
	for i := 1; i <= 5; i++ {
		id := fmt.Sprintf("v%d", i)
		h.deploy(id)
		if i > 1 {
			h.awaitEvent("release drained", ofRelease(fmt.Sprintf("v%d", i-1)))
		}
	}
	h.eventually("two are kept", func() bool { return len(h.states()) == 3 })
	equal(t, "states", h.states(), []string{"v3 stopped", "v4 stopped", "v5 active"})
}

func Test128to135_Rollback(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	h.fails(1, "No previous release to roll back to.", "rollback")
	h.fails(1, `Release "v1" is already active.`, "rollback", "--release-id", "v1")
	h.fails(1, `No retained release "zz" to roll back to.`, "rollback", "--release-id", "zz")
	h.deploy("v2")
	has(t, "rollback", h.must("rollback"), object{"activeReleaseId": "v1", "previousReleaseId": "v2"})
	if _, body := h.get("/release"); body != "v1" {
		t.Errorf("release %s", body)
	}
	h.release("v2", "exit", "1")
	if r := h.cli("rollback"); r.code != 1 {
		t.Errorf("%+v", r)
	}
	if _, body := h.get("/release"); body != "v1" {
		t.Errorf("release %s", body)
	}
	h.must("stop")
	has(t, "rollback after stop", h.must("rollback"), object{"activeReleaseId": "v1", "previousReleaseId": nil})
}

func Test136to145_RestartPolicy(t *testing.T) {
	h := start(t, basicConfig+`  - {id: zero, restartDelayMs: 50, command: "exit 0"}
  - {id: limited, policy: service, restartDelayMs: 10, restart: {maxRestarts: 2}, command: "exit 4"}
  - {id: killed, restartDelayMs: 60000, command: "exec $APP worker"}
`)
	h.deploy("v1", "slow-start", "0")
	h.awaitEvents(3, "process started", of("zero"))
	limit := h.awaitEvent("restart limit reached", of("limited"))
	has(t, "limit", limit, object{"maxRestarts": 2, "windowMs": 0})
	has(t, "limited", h.process("limited"), object{"state": "failed", "exitCode": 4, "exitSignal": nil, "restarts": 2, "gaveUp": true})
	if n := len(h.awaitEvents(3, "process started", of("limited"))); n != 3 {
		t.Errorf("%d starts", n)
	}
	h.kill("killed", syscall.SIGKILL)
	h.awaitEvent("process exited", of("killed"))
	down := h.process("killed")
	has(t, "killed", down, object{"exitCode": nil, "exitSignal": "SIGKILL", "pid": nil, "uptimeMs": nil, "state": "failed"})
	begun := time.Now()
	h.must("stop") // cancels the restart that is due in a minute
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	h.must("shutdown")
}

func Test146to156_Restart(t *testing.T) {
	h := start(t, basicConfig+`  - {id: w, replicas: 2, command: "exec $APP worker"}
  - {id: clock, policy: singleton, command: "exec $APP worker"}
  - {id: svc, policy: service, command: "exec $APP worker"}
`)
	h.fails(1, "No managed process", "restart", "--process", "w")
	h.deploy("v1")
	old := pid(h.process("svc"))
	check := func(want string, args ...string) {
		t.Helper()
		b, _ := json.Marshal(h.must(append([]string{"restart"}, args...)...)["restarted"])
		if string(b) != want {
			t.Errorf("%v restarted %s, want %s", args, b, want)
		}
	}
	check(`["svc"]`, "--process", "svc")
	if pid(h.process("svc")) == old {
		t.Error("the same pid")
	}
	check(`["w#0","w#1","clock","svc"]`)
	check(`["w#0","w#1"]`, "--policy", "companion")
	check(`["w#1"]`, "--process", "w#1")
	if answer := h.call(`{"command":"restart","policy":"nonsense"}`); fmt.Sprint(answer["restarted"]) != "[]" {
		t.Errorf("answer %v", answer)
	}
	h.fails(1, "cannot be restarted in place", "restart", "--process", "web")
	h.fails(2, "--policy must be one of: companion, singleton, service.", "restart", "--policy", "proxied")
	h.fails(1, `No managed process with id "zz" to restart.`, "restart", "--process", "zz")
	h.awaitEvent("process restart requested", of("svc"))
	h.awaitEvent("process started", func(data object) bool { return data["processId"] == "svc" && data["reason"] == "manual" })
}

func Test249_RestartRevivesWhatGaveUp(t *testing.T) {
	h := start(t, basicConfig+`  - {id: svc, policy: service, restart: {maxRestarts: 0}, command: "exec $APP worker"}`)
	h.deploy("v1")
	h.kill("svc", syscall.SIGKILL)
	h.awaitEvent("restart limit reached", of("svc"))
	h.must("restart", "--process", "svc")
	has(t, "svc", h.process("svc"), object{"state": "running"})
	h.kill("svc", syscall.SIGKILL)
	h.awaitEvents(2, "restart limit reached", of("svc"))
	h.deploy("v2")
	has(t, "svc", h.process("svc"), object{"state": "running"})
}

func Test157to171_StopSequence(t *testing.T) {
	h := start(t, basicConfig+`  - {id: deaf, gracefulStopMs: 300, command: "exec $APP worker ignore=SIGTERM"}
  - {id: int, stopSignal: SIGINT, command: "exec $APP worker"}
  - {id: slow, gracefulStopMs: indefinite, command: "exec $APP worker linger=700ms"}
  - {id: none, gracefulStopMs: 0, command: "exec $APP worker linger=60s"}
  - id: hooked
    command: "exec $APP worker"
    lifecycle:
      quietCommand: 'echo "quiet $ROLLBRIDGE_PROCESS_ID #$ROLLBRIDGE_PID" >> $DIARY; exit 4'
      drainCommand: 'echo "drain $ROLLBRIDGE_PROCESS_ID #" >> $DIARY'
      drainTimeoutMs: 5000
  - id: commanded
    command: "exec $APP worker"
    lifecycle: {stopCommand: 'kill -USR1 $ROLLBRIDGE_PID'}
  - id: family
    command: "$APP worker linger=400ms & wait"
`)
	h.deploy("v1")
	for _, id := range []string{"deaf", "int", "slow", "none", "hooked", "commanded", "family"} {
		h.awaitDiary("start " + id + "@v1")
	}
	h.must("restart")
	diary := func() string { return strings.Join(h.diary(), "\n") + "\n" }
	for _, line := range []string{"signal SIGINT int@v1\n", "end slow@v1\n", "quiet hooked\n", "drain hooked\n", "signal SIGTERM hooked@v1\n", "signal SIGUSR1 commanded@v1\n", "end family@v1\nstart family@v1\n"} {
		h.eventually("the diary has "+line, func() bool { return strings.Contains(diary(), line) })
	}
	for _, line := range []string{"signal SIGTERM int@", "signal SIGTERM commanded@", "end none@", "end deaf@"} {
		if strings.Contains(diary(), line) {
			t.Errorf("the diary has %q:\n%s", line, diary())
		}
	}
	for _, id := range []string{"deaf", "none"} {
		h.awaitEvent("process stop timed out; sending SIGKILL", of(id))
		h.awaitEvent("process exited", func(data object) bool { return data["processId"] == id && data["signal"] == "SIGKILL" })
	}
	has(t, "hook", h.awaitEvent("quiet command exited non-zero", of("hooked")), object{"code": 4})
	for _, id := range []string{"int", "slow", "hooked", "family"} {
		if found, _ := h.findEvents("process stop timed out; sending SIGKILL", of(id)); len(found) > 0 {
			t.Errorf("%s was killed", id)
		}
	}
}

func Test245_LeftoversOfADeadShellAreEnded(t *testing.T) {
	h := start(t, basicConfig+`  - {id: sloppy, policy: service, restartDelayMs: 10, restart: {maxRestarts: 2}, command: "sleep 777 & $APP worker exit=1 after=50ms & wait $!; exit 1"}
  - {id: forks, command: "(setsid sleep 888 &) ; exec $APP worker"}
`)
	h.deploy("v1")
	h.awaitEvent("restart limit reached", of("sloppy"))
	sleeping := func(what string) (n int) {
		for _, command := range h.left() {
			if strings.TrimSpace(command) == what {
				n++
			}
		}
		return n
	}
	h.eventually("no leftover of sloppy", func() bool { return sleeping("sleep 777") == 0 })
	h.must("restart", "--process", "forks")
	h.eventually("one daemonised child", func() bool { return sleeping("sleep 888") == 1 })
	h.must("shutdown")
	h.awaitExit()
	if left := h.left(); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func Test197to208_ControlLinesLogsEvents(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "  - {id: web,", "  - {id: chatty, outputLines: 3, command: \"for i in 1 2 3 4 5; do echo line $i; done; printf 'par'; printf 'tial\\\\n' >&2; exec $APP worker\"}\n  - {id: web,", 1))
	if r := h.cli("logs"); r.code != 0 || !strings.Contains(r.stdout, "No managed processes.") {
		t.Errorf("%+v", r)
	}
	for line, says := range map[string]string{
		"this is not json": "JSON", "123": "Control command must be an object", `{"command":"bogus"}`: "Unknown command: bogus",
		`{"command":"deploy"}`: "releasePath is required", `{"command":"deploy","releasePath":"/","releaseId":5}`: "Expected string value", "": "Unexpected end of JSON input",
	} {
		answer := h.call(line)
		if text, _ := answer["error"].(string); answer["status"] != "error" || !strings.Contains(text, says) {
			t.Errorf("%q: %v", line, answer)
		}
	}
	h.deploy("v1")
	h.awaitDiary("start chatty@v1")
	r := h.cli("logs", "--process", "chatty")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "== chatty [release v1 (active)] ==\n") || !strings.Contains(r.stdout, "[stdout] line 5\n") || strings.Contains(r.stdout, "line 2") {
		t.Errorf("logs %+v", r)
	}
	if r := h.cli("logs", "--process", "nope"); r.code != 0 || !strings.Contains(r.stdout, `No process found with id "nope".`) {
		t.Errorf("%+v", r)
	}
	if r := h.cli("logs", "--process", "nope", "--json"); strings.TrimSpace(r.stdout) != "[]" {
		t.Errorf("%+v", r)
	}
	events := h.cli("events", "--limit", "2", "--json")
	var list []object
	if err := json.Unmarshal([]byte(events.stdout), &list); err != nil || len(list) != 2 || list[0]["at"].(string) > list[1]["at"].(string) {
		t.Errorf("%+v %v", events, err)
	}
	if r := h.cli("events", "--limit", "0"); r.code != 2 || !strings.Contains(r.stderr, "--limit must be a positive integer.") {
		t.Errorf("%+v", r)
	}
	h.calls(1100, strings.Repeat(`{"command":"bogus"}`+"\n", 1100))
	if n := len(h.call(`{"command":"events"}`)["events"].([]any)); n != 1000 {
		t.Errorf("%d events are kept", n)
	}
}

func TestEventsSayWhoDidIt(t *testing.T) {
	h := start(t, basicConfig)
	h.deploy("v1")
	switched := h.awaitEvent("traffic switched", nil)
	if switched["peerPid"] == nil || switched["peerUid"] == nil {
		t.Errorf("event %v", switched)
	}
}
