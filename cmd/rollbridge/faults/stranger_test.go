package faults

import (
	"os/exec"
	"strings"
	"testing"
)

// stranger starts somebody else's unit.
func (in *instance) stranger(unit string) (pid string) {
	in.t.Helper()
	command(in.t, "systemd-run", "--quiet", "--unit="+unit, "sleep", "infinity")
	in.t.Cleanup(func() { exec.Command("systemctl", "stop", unit).Run() })
	return property(in.t, unit, "MainPID")
}

func TestTakenNamesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		id, unit string
		active   string // after the failed deploy
	}{
		{"worker", "worker.v2", "v1"},
		{"queue", "queue", ""},
		{"sched", "sched", "v1"},
	} {
		t.Run(test.id, func(t *testing.T) {
			in := start(t, "taken"+test.id, web+`
  - {id: worker, command: "exec $APP worker"}
  - {id: queue, policy: service, command: "exec $APP worker"}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched"}`)
			release := "v1"
			if test.id == "worker" {
				in.deploy("v1")
				release = "v2"
			}
			unit := in.unit(test.unit)
			pid := in.stranger(unit)
			if r := in.tryDeploy(release); r.code != 1 || !strings.Contains(r.stderr, unit) {
				t.Errorf("the deploy says %+v; want the unit %s", r, unit)
			}
			if s := in.status(); s.ActiveReleaseID != test.active {
				t.Errorf("active is %q; want %q", s.ActiveReleaseID, test.active)
			}
			in.killDaemon()
			if test.active != "" {
				in.eventually("requests are served", func() bool { code, body, _ := in.ask("/release"); return code == 200 && body == test.active })
			}
			if now := property(t, unit, "MainPID"); now != pid {
				t.Errorf("the stranger had pid %s, has %s", pid, now)
			}
			systemctl(t, "stop", unit)
			in.deploy("v3")
			in.serves("v3")
			in.awaitNew(test.id, 0)
		})
	}
}

func TestStrangerDoesNotHinderTheShutdown(t *testing.T) {
	t.Parallel()
	in := start(t, "guest", web)
	in.deploy("v1")
	unit := in.unit("guest")
	pid := in.stranger(unit)
	in.must("shutdown")
	if now := property(t, unit, "MainPID"); now != pid {
		t.Errorf("the stranger had pid %s, has %s", pid, now)
	}
	systemctl(t, "stop", unit)
}
