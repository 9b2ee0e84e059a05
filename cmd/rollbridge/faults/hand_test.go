package faults

import (
	"fmt"
	"testing"
)

func TestUnitStoppedByHandStaysStopped(t *testing.T) {
	t.Parallel()
	in := start(t, "byhand", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20}
  - {id: rude, command: "exec $APP worker status=143", restartDelayMs: 20}
  - {id: other, command: "exec sleep infinity", restartDelayMs: 20}
  - {id: queue, policy: service, command: "exec $APP worker status=143", restartDelayMs: 20}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20}`)
	in.deploy("v1")
	stopped := map[string]string{"worker": "worker.v1", "rude": "rude.v1", "queue": "queue", "sched": "sched"}
	for id, unit := range stopped {
		in.awaitEntries(1, "start", id)
		systemctl(t, "stop", in.unit(unit))
		in.awaitStopped(id)
	}
	stay := func() {
		t.Helper()
		in.crash("other") // as long as it takes to be restarted, at least
		for id := range stopped {
			in.awaitStopped(id)
			if n := len(in.entries("start", id)); n != 1 {
				t.Errorf("%s was started %d times", id, n)
			}
		}
	}
	stay()
	in.killDaemon()
	in.awaitProcess("other", "runs", func(p process) bool { return p.State == "running" })
	stay()

	in.must("restart", "--process", "worker")
	in.must("restart", "--process", "sched")
	for _, id := range []string{"worker", "sched"} {
		if p := in.process(id); p.State != "running" || p.LastStartReason != "manual" {
			t.Errorf("%s after a restart: %+v", id, p)
		}
	}
	in.awaitEntries(2, "start", "sched")
	systemctl(t, "stop", in.unit("sched"))
	in.awaitStopped("sched")
	in.deploy("v2")
	for id := range stopped {
		if p := in.process(id); p.State != "running" || p.LastStartReason != "deploy" {
			t.Errorf("%s after a deploy: %+v", id, p)
		}
	}
	in.noOverlap()
}

func (in *instance) awaitStopped(id string) {
	in.t.Helper()
	in.awaitProcess(id, "is stopped", func(p process) bool { return p.State == "stopped" && p.PID == 0 && !p.GaveUp })
}

func TestUnitStartedByHandGoesOn(t *testing.T) {
	t.Parallel()
	in := start(t, "started", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20, restart: {maxRestarts: 2}}`)
	in.deploy("v1")
	systemctl(t, "stop", in.unit("worker.v1"))
	in.awaitStopped("worker")
	systemctl(t, "start", in.unit("worker.v1"))
	if p := in.awaitNew("worker", 0); p.LastStartReason != "manual" {
		t.Errorf("worker: %+v", p)
	}
	in.spendsBudget("worker", 2)
}

// spendsBudget crashes a process until it is given up, after n restarts.
func (in *instance) spendsBudget(id string, n int) {
	in.t.Helper()
	for range n {
		in.crash(id)
	}
	in.shoot(in.process(id).PID)
	in.awaitProcess(id, "gave up", func(p process) bool { return p.State == "failed" && p.GaveUp })
}

func TestUnitRestartedByHandGoesOn(t *testing.T) {
	t.Parallel()
	in := start(t, "again", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20, restart: {maxRestarts: 2}}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20, restart: {maxRestarts: 2, windowMs: 60000}}`)
	in.deploy("v1")
	for id, unit := range map[string]string{"worker": "worker.v1", "sched": "sched"} {
		in.crash(id)
		for range 10 {
			systemctl(t, "restart", in.unit(unit))
		}
		events := in.awaitEvents(12, "process started", id) // not all live long enough for the diary
		for i, want := range append([]string{"deploy", "crash"}, repeat("manual", 10)...) {
			if reason := events[i].Data["reason"]; reason != want {
				t.Errorf("%s: start %d has reason %v; want %s", id, i, reason, want)
			}
		}
		pid := property(t, in.unit(unit), "MainPID")
		if told := fmt.Sprint(events[11].Data["pid"]); told != pid || len(events) != 12 {
			t.Errorf("%s: %d starts are told, the last of pid %s; systemd says %s", id, len(events), told, pid)
		}
		p := in.awaitProcess(id, "is the newest instance", func(p process) bool { return p.State == "running" && fmt.Sprint(p.PID) == pid })
		if p.LastStartReason != "manual" || p.Restarts != 1 {
			t.Errorf("%s: %+v", id, p)
		}
		in.spendsBudget(id, 2)
	}
	in.noOverlap()
}

func repeat(text string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = text
	}
	return all
}
