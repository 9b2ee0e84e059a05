package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTwoHundredCrashesAtOnce(t *testing.T) {
	const n = 200
	in := start(t, "crowd", web+fmt.Sprintf(`
  - {id: worker, command: "exec sleep infinity", replicas: %d, restartDelayMs: 50, restart: {backoffFactor: 2}}`, n))
	in.took("start", func() { in.deploy("v1") })
	before := in.status().pids()
	in.took("come back", func() {
		for id, pid := range before {
			if id != "web" {
				in.shoot(pid)
			}
		}
		in.within(2*patience, "all of them are back", func() bool {
			s, ok := in.look()
			return ok && !slices.ContainsFunc(s.running(), func(p process) bool {
				return p.State != "running" || p.ID != "web" && (p.PID == before[p.ID] || p.Restarts != 1)
			})
		})
	})
	var want, got []string
	for id, pid := range in.status().pids() {
		if replica, ok := strings.CutPrefix(id, "worker#"); ok {
			want = append(want, fmt.Sprintf("MainPID=%d\nId=%s\n", pid, in.unit("worker.v1."+replica)))
		}
	}
	for unit := range strings.SplitSeq(systemctl(t, "show", "--property=MainPID,Id", "rollbridge-crowd.worker.*"), "\n\n") {
		got = append(got, strings.TrimSpace(unit)+"\n")
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) != n || !slices.Equal(want, got) {
		t.Errorf("status says %v, systemd %v", want, got)
	}
	in.serves("v1")
	in.took("end", func() { in.must("shutdown") })
}

// took logs how long something lasted.
func (in *instance) took(what string, do func()) {
	in.t.Helper()
	begun := time.Now()
	do()
	in.t.Logf("%s: %v", what, time.Since(begun).Round(ms))
}

func TestDescendantsEndWithTheirProcess(t *testing.T) {
	t.Parallel()
	in := start(t, "forks", `
  - {id: web, policy: proxied, command: "exec $APP web children=yes", port: $PORTS, gracefulStopMs: 300, restartDelayMs: 20}
  - {id: worker, command: "exec $APP worker children=yes", gracefulStopMs: 300, restartDelayMs: 20}
  - {id: queue, policy: service, command: "exec $APP worker children=yes", gracefulStopMs: 300, restartDelayMs: 20}`)
	in.deploy("v1")
	ids := []string{"web", "worker", "queue"}
	for i := range 3 {
		for _, id := range ids {
			in.awaitEntries(i+1, "child", id)
			switch i {
			case 0:
				in.crash(id)
			case 1:
				if id == "web" {
					in.crash(id)
				} else {
					in.must("restart", "--process", id)
				}
			}
		}
	}
	in.killDaemon()
	in.crash("web")
	in.awaitEntries(4, "child", "web")
	in.noOverlap()

	var children []entry
	for _, id := range ids {
		children = append(children, in.entries("child", id)...)
	}
	in.must("stop")
	in.must("shutdown")
	for _, child := range children {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child.pid)); err == nil && strings.Contains(string(b), "child") {
			t.Errorf("%s: the child %d lives", child.process, child.pid)
		}
	}
}

func TestGivenUpProcessIsRevived(t *testing.T) {
	t.Parallel()
	in := start(t, "revive", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20, restart: {maxRestarts: 2}}
  - {id: queue, policy: service, command: "exec $APP worker", restartDelayMs: 20, restart: {maxRestarts: 2, windowMs: 60000}}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20, restart: {maxRestarts: 2}}`)
	in.deploy("v1")
	for round, revive := range []func(){
		func() {
			in.must("restart", "--process", "worker")
			in.must("restart", "--process", "queue")
			in.must("restart", "--process", "sched")
		},
		func() { in.deploy("v2") },
		func() { in.killDaemon(); in.deploy("v3") },
	} {
		in.breakDown([]string{"worker", "queue", "sched"})
		before := in.lasting()
		if round == 2 {
			in.killDaemon()
			in.awaitLasting(before)
		}
		revive()
		for _, id := range []string{"worker", "queue", "sched"} {
			if p := in.awaitNew(id, 0); p.GaveUp {
				t.Errorf("round %d: %s: %+v", round, id, p)
			}
		}
	}
	in.spendsBudget("worker", 2)
	in.spendsBudget("queue", 2)
}

// breakDown lets processes crash until they are given up: exactly two restarts.
func (in *instance) breakDown(ids []string) {
	in.t.Helper()
	crash := in.path("releases/" + in.status().ActiveReleaseID + "/crash")
	in.write(crash, "1")
	for _, id := range ids {
		starts := len(in.entries("start", id))
		in.shoot(in.process(id).PID)
		in.awaitProcess(id, "gave up", func(p process) bool { return p.State == "failed" && p.GaveUp && p.PID == 0 })
		if n := len(in.entries("start", id)) - starts; n != 2 {
			in.t.Errorf("%s was restarted %d times; want 2", id, n)
		}
	}
	in.remove(crash)
}

func TestEveryExitStatusIsRestarted(t *testing.T) {
	t.Parallel()
	in := start(t, "codes", web+`
  - id: worker
    restartDelayMs: 1
    command: |
      read n <$DIR/step
      [ $n -gt 255 ] && exec sleep infinity
      echo $((n + 1)) >$DIR/step
      exit $n`)
	in.write(in.path("step"), "0\n")
	if err := os.Chmod(in.path("step"), 0o666); err != nil {
		t.Fatal(err)
	}
	in.deploy("v1")
	in.within(5*patience, "it has exited with each status", func() bool {
		s, ok := in.look()
		p := s.find("worker")
		return ok && p.Restarts == 256 && p.State == "running"
	})
	exits := in.awaitEvents(256, "process exited", "worker")
	for code, e := range exits {
		if e.Data["code"] != float64(code) || e.Data["signal"] != nil {
			t.Errorf("exit %d is told as %v", code, e.Data)
		}
	}
	if n := len(exits); n != 256 {
		t.Errorf("%d exits are told", n)
	}
}
