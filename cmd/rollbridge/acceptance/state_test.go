package acceptance

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
)

// The state file where processes end with the daemon, as the contract has it.

const rememberingConfig = basicConfig + `  - {id: worker, command: "exec $APP worker"}
  - {id: broker, policy: service, command: "exec $APP worker"}
  - {id: clock, policy: singleton, command: "exec $APP worker"}
statePath: state.json
`

// remembering is a host whose daemon keeps processes itself, and a state file.
func remembering(t *testing.T) *host {
	t.Helper()
	h := newHost(t, rememberingConfig)
	h.env = append(h.env, "ROLLBRIDGE_RUNNER=direct")
	return h
}

func (h *host) stateFile() (text string, state object) {
	h.t.Helper()
	b, err := os.ReadFile(h.path("state.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &state); err != nil {
		h.t.Fatalf("%v in %s", err, b)
	}
	return string(b), state
}

func Test215_StateIsKept(t *testing.T) {
	h := remembering(t)
	h.startDaemon()
	h.deploy("v1")
	h.awaitDiary("start clock@v1")
	worker := pid(h.process("worker"))
	h.eventually("the state has the release and its processes", func() bool {
		_, state := h.stateFile()
		releases := state["releases"].([]any)
		if state["activeReleaseId"] != "v1" || len(releases) != 1 {
			return false
		}
		for _, p := range releases[0].(object)["processes"].([]any) {
			if p.(object)["id"] == "worker" && pid(p.(object)) == worker {
				return true
			}
		}
		return false
	})
	text, state := h.stateFile()
	if len(state["events"].([]any)) == 0 || state["persistedAt"] == nil || !strings.HasSuffix(text, "}\n") {
		t.Errorf("state:\n%s", text)
	}
	for _, secret := range []string{`"command"`, `"cwd"`, `"env"`, `"logs"`, "exec $APP"} {
		if strings.Contains(text, secret) {
			t.Errorf("the state has %s:\n%s", secret, text)
		}
	}
	if info, err := os.Stat(h.path("state.json")); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if path := h.status()["statePath"]; path != h.path("state.json") {
		t.Errorf("status says %v", path)
	}
}

func Test216_CleanShutdownRemovesTheState(t *testing.T) {
	h := remembering(t)
	h.startDaemon()
	h.deploy("v1")
	h.must("shutdown")
	h.awaitExit()
	if _, err := os.Stat(h.path("state.json")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

func Test217to218_OrphansAreReportedAndLeftAlone(t *testing.T) {
	h := remembering(t)
	h.startDaemon()
	h.deploy("v1")
	h.awaitDiary("start clock@v1")
	pids := map[string]int{}
	for _, id := range []string{"worker", "broker", "clock"} {
		pids[id] = pid(h.process(id))
	}
	h.eventually("all are in the state", func() bool {
		text, state := h.stateFile()
		return strings.Contains(text, `"clock"`) && len(state["singletons"].([]any)) == 1 && pid(state["singletons"].([]any)[0].(object)["process"].(object)) == pids["clock"]
	})
	syscall.Kill(pid(h.process("web")), syscall.SIGKILL) // it would keep its port
	h.cmd.Process.Kill()
	<-h.exited
	defer func() {
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		h.eventually("the orphans end", func() bool { return len(h.left()) == 0 })
	}()

	h.startDaemon()
	for _, id := range []string{"worker", "broker", "clock"} {
		h.awaitEvent("orphaned managed process detected", func(data object) bool { return data["processId"] == id && pid(data) == pids[id] })
	}
	h.awaitEvent("orphaned processes from a previous daemon", nil)
	listed := map[string]int{}
	for _, o := range h.status()["orphans"].([]any) {
		listed[o.(object)["id"].(string)] = pid(o.(object))
	}
	if listed["worker"] != pids["worker"] || listed["clock"] != pids["clock"] {
		t.Errorf("orphans %v, want %v", listed, pids)
	}
	if h.status()["activeReleaseId"] != nil {
		t.Error("a release came back")
	}

	syscall.Kill(pids["worker"], syscall.SIGKILL)
	h.eventually("the list shrinks", func() bool {
		return !strings.Contains(h.statusText(), "worker")
	})
	h.must("shutdown")
	h.awaitExit()
	text, state := h.stateFile()
	if len(state["releases"].([]any)) != 0 || !strings.Contains(text, `"clock"`) || strings.Contains(text, `"worker"`) {
		t.Errorf("state:\n%s", text)
	}
	if syscall.Kill(pids["clock"], 0) != nil {
		t.Error("an orphan was stopped")
	}
}

func Test219_GarbageStateIsNoObstacle(t *testing.T) {
	h := remembering(t)
	h.write("state.json", "garbage")
	h.startDaemon()
	if orphans := h.status()["orphans"].([]any); len(orphans) != 0 {
		t.Errorf("orphans %v", orphans)
	}
	h.deploy("v1")
}
