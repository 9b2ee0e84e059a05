package faults

import (
	"slices"
	"testing"
)

// Not in parallel: these tests disturb the machine as a whole, so that others
// could not tell what is whose.

const disturbed = web + `
  - {id: worker, command: "exec $APP worker", replicas: 3, restartDelayMs: 20}
  - {id: queue, policy: service, command: "exec $APP worker", restartDelayMs: 20}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20}`

func TestDisturbancesInMidDeploy(t *testing.T) {
	for name, disturb := range map[string][]string{
		"reload":  {"daemon-reload"},
		"reexec":  {"daemon-reexec"},
		"bus":     {"restart", "dbus.service"},
		"journal": {"restart", "systemd-journald.service"},
	} {
		t.Run(name, func(t *testing.T) {
			in := start(t, "in"+name, disturbed)
			in.deploy("v1")
			l := in.underLoad()

			deployed := in.beginDeploy("v2", "slow-start", "600ms")
			systemctl(t, disturb...) // beside the start of companions
			in.awaitEntries(1, "start", "web@v2")
			systemctl(t, disturb...) // while it is waited for the web process
			if r := <-deployed; r.code != 0 {
				t.Errorf("the deploy: %+v", r)
			}
			l.end()
			in.serves("v2")
			in.awaitReleaseState("v1", "stopped")
			in.stillInCharge("v2")
		})
	}
}

func TestDisturbancesAtRest(t *testing.T) {
	in := start(t, "atrest", disturbed)
	in.deploy("v1")
	for _, disturb := range [][]string{{"daemon-reload"}, {"daemon-reexec"}, {"restart", "dbus.service"}, {"restart", "systemd-journald.service"}} {
		before := in.lasting()
		systemctl(t, disturb...)
		in.awaitLasting(before)
		in.serves("v1")
		in.stillInCharge("v1")
	}
}

// stillInCharge checks that the daemon sees what happens and can act.
func (in *instance) stillInCharge(release string) {
	in.t.Helper()
	for _, id := range []string{"worker#0", "queue", "sched", "web"} {
		restarts := in.process(id).Restarts
		if p := in.crash(id); p.Restarts != restarts+1 || p.LastStartReason != "crash" {
			in.t.Errorf("%s: %+v; want %d restarts", id, p, restarts+1)
		}
	}
	in.deploy(release)
	in.serves(release)
	in.eventually("nothing drains", func() bool {
		return !slices.ContainsFunc(in.status().Releases, func(r releaseStatus) bool { return r.State == "draining" })
	})
	in.noOverlap()
}

func TestProcessesAreRestartedWithoutABus(t *testing.T) {
	in := start(t, "nobus", disturbed)
	in.deploy("v1")
	pids := in.status().pids()
	systemctl(t, "stop", "dbus.socket", "dbus.service")
	defer systemctl(t, "start", "dbus.socket", "dbus.service")
	for _, id := range []string{"worker#0", "queue", "sched", "web"} {
		in.shoot(pids[id])
	}
	in.awaitEntries(4, "start", "worker")
	for _, id := range []string{"queue", "sched"} {
		in.awaitEntries(2, "start", id)
	}
	systemctl(t, "start", "dbus.socket", "dbus.service")
	for _, id := range []string{"worker#0", "queue", "sched"} {
		if p := in.awaitNew(id, pids[id]); p.Restarts != 1 || p.LastStartReason != "crash" {
			t.Errorf("%s: %+v", id, p)
		}
	}
	in.awaitNew("web", pids["web"]) // its scope may have to wait for the bus
	in.eventually("requests are served", func() bool { code, body, _ := in.ask("/release"); return code == 200 && body == "v1" })
	in.stillInCharge("v1")
}

func TestJournalRestartLosesNoLine(t *testing.T) {
	in := start(t, "journald", web+`
  - {id: talker, command: "exec $APP chatter lines=300 every=5ms", outputLines: 1000}`)
	in.deploy("v1")
	in.awaitEntries(1, "start", "talker")
	for range 2 {
		systemctl(t, "restart", "systemd-journald.service")
	}
	in.awaitEntries(1, "said", "talker")
	in.eventually("the last line is there", func() bool { return len(in.logs("talker")) >= 300 })
	in.numbered(in.logs("talker"), 300)
}
