package faults

import (
	"maps"
	"net/http"
	"testing"
	"time"
)

// many is twenty processes of every kind.
const many = web + `
  - {id: worker, command: "exec sleep infinity", replicas: 12, restartDelayMs: 20}
  - {id: slow, command: "exec $APP worker linger=1s", gracefulStopMs: 10000}
  - {id: queue, policy: service, command: "exec sleep infinity", restartDelayMs: 20}
  - {id: cache, policy: service, command: "exec sleep infinity"}
  - {id: broker, policy: service, deployStrategy: handoff, port: $PORTS, command: "exec sleep infinity", restartDelayMs: 20}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20}
  - {id: mailer, policy: singleton, command: "exec sleep infinity"}
  - {id: clock, policy: singleton, command: "exec sleep infinity"}`

func TestKilledDaemonIsSucceeded(t *testing.T) {
	t.Parallel()
	in := start(t, "kill", many)
	in.deploy("v1")
	go http.Get(in.url("/slow?for=1m&note=yes"))
	in.awaitEntries(1, "request", "web")
	in.deploy("v2")
	if s := in.status(); s.state("v1") != "draining" || s.Runner != "systemd" {
		t.Fatalf("before: %+v", s)
	}
	for range 2 {
		in.crash("worker#3")
	}
	for _, id := range []string{"queue", "broker", "sched", "web"} {
		in.crash(id)
	}
	pids, old := in.status().pids(), in.status().PID
	if len(pids) != 20 {
		t.Fatalf("%d processes run: %v", len(pids), pids)
	}

	in.shoot(old)
	in.awaitDaemon(old)
	in.awaitReleaseState("v1", "stopped") // its connection ended with the daemon
	if now := in.status().pids(); !maps.Equal(now, pids) {
		t.Errorf("pids were %v, are %v", pids, now)
	}
	in.serves("v2")
	if left := units(t, "rollbridge-kill.*.v1*"); len(left) > 0 {
		t.Errorf("left of the stopped release: %v", left)
	}

	for id, restarts := range map[string]int{"worker#3": 3, "queue": 2, "broker": 2, "sched": 2, "web": 2, "worker#0": 1} {
		if p := in.crash(id); p.Restarts != restarts || p.LastStartReason != "crash" {
			t.Errorf("%s: %+v; want %d restarts", id, p, restarts)
		}
	}
	services := in.process("queue").PID
	in.deploy("v3")
	in.serves("v3")
	in.awaitReleaseState("v2", "stopped")
	for id, pid := range in.status().pids() {
		if isService := id == "queue" || id == "cache"; isService != (pid == pids[id]) && id != "queue" {
			t.Errorf("%s: pid %d before, %d after the next deploy", id, pids[id], pid)
		}
	}
	if pid := in.process("queue").PID; pid != services {
		t.Errorf("queue: pid %d before, %d after the next deploy", services, pid)
	}
	in.noOverlap()
}

func TestStatusOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	in := start(t, "same", many+`
  - {id: talker, command: "echo out; echo err >&2; exec sleep infinity"}
  - {id: lost, command: "[ -e $DIR/fit ] && exec sleep infinity; exit 3", restartDelayMs: 1, restart: {maxRestarts: 1}}`)
	in.write(in.path("fit"), "")
	in.deploy("v1")
	in.deploy("v2")
	in.awaitReleaseState("v1", "stopped")
	in.crash("web")
	in.crash("sched")
	in.remove(in.path("fit"))
	in.shoot(in.process("lost").PID)
	in.awaitProcess("lost", "gave up", func(p process) bool { return p.State == "failed" && p.GaveUp })
	in.awaitEvents(2, "process exited", "lost")
	before := in.lasting()
	for range 3 {
		in.killDaemon()
		in.awaitLasting(before)
		in.serves("v2")
	}
}

func TestProcessesAreRestartedWithoutADaemon(t *testing.T) {
	t.Parallel()
	in := start(t, "absent", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20}
  - {id: queue, policy: service, command: "exec $APP worker", restartDelayMs: 20}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20}
  - {id: lost, command: "exec $APP worker", restartDelayMs: 20, restart: {maxRestarts: 0}}`)
	in.deploy("v1")
	pids := in.status().pids()
	back := in.absentDaemon()
	for _, id := range []string{"worker", "queue", "sched", "lost"} {
		in.shoot(pids[id])
	}
	for _, id := range []string{"worker", "queue", "sched"} {
		in.awaitEntries(2, "start", id)
	}
	back()
	for _, id := range []string{"worker", "queue", "sched"} {
		p := in.awaitNew(id, pids[id])
		if p.Restarts != 1 || p.LastStartReason != "crash" || p.PID != in.entries("start", id)[1].pid {
			t.Errorf("%s: %+v", id, p)
		}
		exits, starts := in.awaitEvents(1, "process exited", id), in.awaitEvents(2, "process started", id)
		if exits[0].Data["signal"] != "SIGKILL" || starts[1].Data["reason"] != "crash" {
			t.Errorf("%s: events %v, %v", id, exits, starts)
		}
	}
	in.awaitProcess("lost", "gave up", func(p process) bool { return p.State == "failed" && p.GaveUp })
	in.awaitEvents(1, "restart limit reached", "lost")
	in.noOverlap()
}

func TestWaitingProcessDoesNotKeepTheDaemonFromStarting(t *testing.T) {
	t.Parallel()
	in := start(t, "waiting", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 900, restart: {backoffFactor: 100}}
  - {id: hasty, command: "exec $APP worker", restartDelayMs: 0}`)
	in.deploy("v1")
	in.crash("worker")
	in.shoot(in.process("worker").PID)
	waits := in.awaitProcess("worker", "waits for long", func(p process) bool {
		due, err := time.Parse(time.RFC3339, p.RetryAt)
		return p.State == "failed" && err == nil && time.Until(due) > time.Minute
	})
	in.write(in.path("releases/v1/crash"), "1") // for hasty: it is started over and over
	in.shoot(in.process("hasty").PID)
	in.awaitEntries(3, "start", "hasty")
	in.killDaemon()
	if p := in.awaitProcess("worker", "waits", func(p process) bool { return p.State == "failed" }); p.RetryAt != waits.RetryAt || p.Restarts != 1 {
		t.Errorf("it was %+v, is %+v", waits, p)
	}
	in.remove(in.path("releases/v1/crash"))
	in.awaitNew("hasty", 0)
}

func TestWebProcessKilledWithTheDaemonComesBack(t *testing.T) {
	t.Parallel()
	in := start(t, "both", web)
	in.deploy("v1")
	old := in.process("web").PID
	back := in.absentDaemon()
	in.shoot(old)
	back()
	if p := in.awaitNew("web", old); p.Restarts != 1 || p.LastStartReason != "crash" {
		t.Errorf("web: %+v", p)
	}
	in.eventually("requests are served", func() bool { code, body, _ := in.ask("/release"); return code == 200 && body == "v1" })
	if n := len(in.entries("start", "web")); n != 2 {
		t.Errorf("it was started %d times", n)
	}
}

func TestKilledWebProcessLosesNoRequest(t *testing.T) {
	t.Parallel()
	in := start(t, "held", web)
	in.deploy("v1")
	l := in.underLoad()
	for range 5 {
		in.crash("web")
	}
	in.killDaemonUnloaded(l)
	l = in.underLoad()
	for range 5 {
		in.crash("web")
	}
	l.end()
	if p := in.process("web"); p.Restarts != 10 {
		t.Errorf("web: %+v; want 10 restarts", p)
	}
}

// killDaemonUnloaded ends the load before the daemon is killed: until listeners
// come from systemd, nobody accepts meanwhile.
func (in *instance) killDaemonUnloaded(l *load) {
	in.t.Helper()
	l.end()
	in.killDaemon()
	in.eventually("requests are served", func() bool { code, _, _ := in.ask("/release"); return code == 200 })
}
