package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// orderly is a process of each kind that takes its time to end.
const orderly = web + `
  - {id: worker, command: "exec $APP worker linger=100ms"}
  - {id: broker, policy: service, deployStrategy: handoff, port: $PORTS, command: "exec $APP worker linger=100ms"}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched linger=100ms"}
  - {id: queue, policy: service, command: "exec $APP worker linger=100ms"}`

func TestRestartOfTheDaemonKeepsAllProcesses(t *testing.T) {
	t.Parallel()
	in := start(t, "keep", orderly)
	in.deploy("v1")
	before, pids, old := in.lasting(), in.status().pids(), in.status().PID
	slow := make(chan string, 1)
	go func() {
		code, body, err := in.ask("/slow?for=1s&note=yes")
		slow <- fmt.Sprint(code, body, err)
	}()
	in.awaitEntries(1, "request", "web")
	systemctl(t, "restart", in.daemon())
	if got := <-slow; got != "200v1<nil>" {
		t.Errorf("the open request: %s", got)
	}
	in.awaitDaemon(old)
	in.awaitLasting(before)
	if now := in.status().pids(); !maps.Equal(now, pids) {
		t.Errorf("pids were %v, are %v", pids, now)
	}
	in.serves("v1")
	if ends := in.entriesOf("end"); len(ends) > 0 {
		t.Errorf("ended: %v", ends)
	}
	in.deploy("v2")
	in.serves("v2")
	in.noOverlap()
}

func TestStopOfTheDaemonStopsEverythingInOrder(t *testing.T) {
	t.Parallel()
	in := start(t, "stopall", orderly)
	in.deploy("v1")
	pids := in.status().pids()
	systemctl(t, "stop", in.daemon())
	in.endedInOrder(pids)

	in.startDaemon() // brings the active release back
	in.eventually("requests are served", func() bool { code, body, _ := in.ask("/release"); return code == 200 && body == "v1" })
	for id := range pids {
		in.awaitNew(id, pids[id])
	}
}

func TestStopOfTheMachineLeavesTheOrderToTheDaemon(t *testing.T) {
	t.Parallel()
	in := start(t, "poweroff", orderly)
	in.deploy("v1")
	pids := in.status().pids()
	// As at a power-off, everything is to stop in one transaction.
	everything := append(units(t, "rollbridge-poweroff.*"), in.daemon(), "rollbridge-poweroff-order.slice")
	const target = "/run/systemd/system/poweroff-of-rollbridge.target"
	in.write(target, "[Unit]\nConflicts="+strings.Join(everything, " ")+"\n")
	systemctl(t, "daemon-reload")
	systemctl(t, "start", filepath.Base(target))
	in.eventually("the daemon's unit is stopped", func() bool { return property(t, in.daemon(), "ActiveState") == "inactive" })
	systemctl(t, "stop", filepath.Base(target)) // it names them all, so they stay loaded
	in.remove(target)
	systemctl(t, "daemon-reload")
	in.endedInOrder(pids)
}

func TestShutdownLeavesNothing(t *testing.T) {
	t.Parallel()
	in := start(t, "nothing", orderly)
	in.deploy("v1")
	in.deploy("v2")
	in.awaitReleaseState("v1", "stopped")
	in.killDaemon()
	in.eventually("requests are served", func() bool { code, _, _ := in.ask("/release"); return code == 200 })
	pids := in.status().pids()
	in.must("shutdown")
	in.eventually("the daemon's unit is stopped", func() bool { return property(t, in.daemon(), "ActiveState") == "inactive" })
	in.endedInOrder(pids)
	if left, _ := filepath.Glob("/run/rollbridge/nothing/exec/*"); len(left) > 0 {
		t.Errorf("definitions left: %v", left)
	}
	if _, err := os.Stat("/run/rollbridge/nothing/control.sock"); err == nil {
		t.Error("the control socket is left")
	}
	if r := in.cli("status"); r.code != 3 {
		t.Errorf("status after the shutdown: %+v", r)
	}
}

// endedInOrder checks that everything has ended, the traffic's processes first,
// the services last, and that nothing is left.
func (in *instance) endedInOrder(pids map[string]int) {
	in.t.Helper()
	var order []string
	for _, e := range in.entriesOf("end") {
		if pids[id(e)] == e.pid {
			order = append(order, id(e))
		}
	}
	if len(order) != 5 {
		in.t.Fatalf("ended: %v", order)
	}
	rank := map[string]int{"web": 0, "worker": 0, "broker": 1, "sched": 1, "queue": 2}
	if !slices.IsSortedFunc(order, func(a, b string) int { return rank[a] - rank[b] }) {
		in.t.Errorf("ended in the order %v", order)
	}
	for id, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			in.t.Errorf("%s lives: %d", id, pid)
		}
	}
	if left := units(in.t, "rollbridge-"+in.name+".*"); len(left) > 0 {
		in.t.Errorf("units left: %v", left)
	}
}

// entriesOf is all entries of a kind.
func (in *instance) entriesOf(what string) []entry {
	in.t.Helper()
	return slices.DeleteFunc(in.diary(), func(e entry) bool { return e.what != what })
}
