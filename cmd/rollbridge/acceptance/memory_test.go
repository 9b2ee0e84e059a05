package acceptance

import (
	"strings"
	"syscall"
	"testing"
)

func Test172to175_MemorySupervision(t *testing.T) {
	// A companion that gives up in time would make the deploy fail.
	h := start(t, basicConfig+`  - id: hog
    policy: singleton
    command: exec $APP worker hold=200
    restartDelayMs: 50
    restart: {maxRestarts: 2}
    memory: {limitBytes: 157286400, checkIntervalMs: 200}
  - {id: warned, command: "exec $APP worker hold=100", memory: {limitBytes: 10000000000, warnBytes: 1048576, checkIntervalMs: 20}}
  - {id: plain, command: exec $APP worker}
`)
	h.deploy("v1")
	exceeded := h.awaitEvents(3, "memory limit exceeded", of("hog"))
	for _, e := range exceeded {
		if used := e["rssBytes"].(float64); used <= 157286400 || e["limitBytes"] != 157286400.0 || e["releaseId"] != "v1" {
			t.Errorf("%v", e)
		}
	}
	h.awaitEvent("restart limit reached", of("hog"))
	has(t, "the one above its limit", h.process("hog"), object{"state": "failed", "gaveUp": true, "memoryRestarts": 2, "restarts": 0, "lastStartReason": "memory"})
	if at, ok := h.process("hog")["lastMemoryRestartAt"].(string); !ok || !strings.HasSuffix(at, "Z") {
		t.Errorf("%v", h.process("hog"))
	}
	for _, line := range h.diary() {
		if strings.HasPrefix(line, "signal") && !strings.HasPrefix(line, "signal SIGTERM hog") {
			t.Errorf("diary: %s", line)
		}
	}

	h.eventually("the warned one holds its memory", func() bool {
		used, _ := h.process("warned")["rssBytes"].(float64)
		return used > 100<<20
	})
	warned := h.process("warned")
	if n := len(h.awaitEvents(1, "memory warning", of("warned"))); n != 1 {
		t.Errorf("%d warnings", n)
	}
	child := warned["children"].([]any)[0].(object)
	if len(warned["children"].([]any)) != 1 || child["pid"] != warned["pid"] || child["rssBytes"] != warned["rssBytes"] || child["command"] == "" {
		t.Errorf("%v", warned)
	}
	plain := h.process("plain")
	if len(plain["children"].([]any)) != 0 || plain["rssBytes"] != nil || plain["memoryRestarts"] != 0.0 {
		t.Errorf("%v", plain)
	}
}

func TestRequestsWaitWhileTheWebProcessRestartsForMemory(t *testing.T) {
	h := start(t, strings.Replace(basicConfig, "gracefulStopMs: 2000", "restartDelayMs: 300, memory: {limitBytes: 209715200, checkIntervalMs: 50}", 1))
	h.deploy("v1")
	first := h.process("web")
	if code, _ := h.get("/hold?mib=300"); code != 200 {
		t.Fatal(code)
	}
	h.awaitEvent("memory limit exceeded", of("web"))
	if code, body := h.get("/release"); code != 200 || body != "v1" {
		t.Errorf("%d %q", code, body)
	}
	has(t, "restarted", h.process("web"), object{"memoryRestarts": 1, "lastStartReason": "memory", "restarts": 0})
	if syscall.Kill(pid(first), 0) == nil {
		t.Errorf("process %d still runs", pid(first))
	}
}
