package main

import (
	"context"
	"errors"
	"testing"
)

// playedManager answers as a test says.
type playedManager struct {
	job, state       string
	jobErr, stateErr error
}

func (m playedManager) Job(_ context.Context, unit string) (string, error) {
	if unit != "rollbridge.service" {
		return "", errors.New("asked for " + unit)
	}
	return m.job, m.jobErr
}

func (m playedManager) SystemState(context.Context) (string, error) { return m.state, m.stateErr }

func TestOnlyAStopEndsTheProcesses(t *testing.T) {
	broken := errors.New("the bus is gone")
	for name, c := range map[string]struct {
		manager playedManager
		detach  bool
	}{
		"systemctl stop":            {playedManager{job: "stop", state: "running"}, false},
		"systemctl restart":         {playedManager{job: "restart", state: "running"}, true},
		"a signal":                  {playedManager{job: "", state: "running"}, true},
		"a start is due":            {playedManager{job: "start", state: "degraded"}, true},
		"power-off":                 {playedManager{job: "stop", state: "stopping"}, false},
		"power-off without a job":   {playedManager{job: "", state: "stopping"}, false},
		"the job cannot be read":    {playedManager{jobErr: broken, state: "running"}, true},
		"only the state can":        {playedManager{jobErr: broken, state: "stopping"}, false},
		"nothing can be read":       {playedManager{jobErr: broken, stateErr: broken}, true},
		"stop, but no state":        {playedManager{job: "stop", stateErr: broken}, false},
		"a signal at early startup": {playedManager{state: "starting"}, true},
	} {
		if detach := byOwnJob(c.manager, "rollbridge.service")(t.Context()); detach != c.detach {
			t.Errorf("%s: detach is %v", name, detach)
		}
	}
}

func TestDaemonThatIsNoUnitTakesItsProcessesWithIt(t *testing.T) {
	if byOwnJob(playedManager{job: "restart"}, "")(t.Context()) {
		t.Error("it leaves them, and nobody starts another daemon")
	}
}

func TestOwnUnitIsTheInnermostService(t *testing.T) {
	for cgroups, want := range map[string]string{
		"0::/system.slice/rollbridge.service\n":                                           "rollbridge.service",
		"0::/system.slice/system-rollbridge.slice/rollbridge@shop.service\n":              "rollbridge@shop.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/rollbridge.service\n": "rollbridge.service",
		"0::/system.slice/rollbridge.service/sub\n":                                       "rollbridge.service",
		"1:name=systemd:/system.slice/x.service\n0::/system.slice/rollbridge.service\n":   "rollbridge.service",
		"0::/user.slice/user-0.slice/session-3.scope\n":                                   "",
		"0::/\n":  "",
		"":        "",
		"rubbish": "",
	} {
		if got := serviceOf(cgroups); got != want {
			t.Errorf("%q: %q", cgroups, got)
		}
	}
	if unit := ownUnit(func(string) string { return "" }); unit != "" {
		t.Errorf("without an invocation it is %s", unit)
	}
}
