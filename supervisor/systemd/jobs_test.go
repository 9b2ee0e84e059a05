package systemd

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

const seven = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")

func TestEveryWaiterLearnsOfAJob(t *testing.T) {
	var j jobs
	first, leaveFirst := j.wait(seven)
	second, leaveSecond := j.wait(seven)
	third, leaveThird := j.wait(seven)
	leaveThird()
	j.end(seven, "done")
	if <-first != "done" || <-second != "done" || len(third) != 0 {
		t.Error("not everyone who waited was told, or somebody who did not")
	}
	leaveFirst()
	leaveSecond()
	if len(j.waiting) != 0 || len(j.ended) != 0 {
		t.Errorf("left behind: %v, %v", j.waiting, j.ended)
	}
}

// A job may end before the one who asked for it knows its name.
func TestAJobThatEndsBeforeItIsWaitedFor(t *testing.T) {
	var j jobs
	forget := j.expect()
	other := j.expect()
	j.end(seven, "failed")
	other()
	result, leave := j.wait(seven)
	defer leave()
	if len(result) != 1 || <-result != "failed" {
		t.Error("the result was lost")
	}
	forget()
	if len(j.ended) != 0 {
		t.Errorf("kept for ever: %v", j.ended)
	}
	j.end(seven, "done")
	if len(j.ended) != 0 {
		t.Error("results that nobody can want are kept")
	}
}

func TestWhatAUnitSaysAboutAJobThatEnded(t *testing.T) {
	for _, test := range []struct {
		purpose purpose
		state   UnitState
		want    string
	}{
		{stop, UnitState{ActiveState: "inactive"}, "done"},
		{stop, UnitState{ActiveState: "failed"}, "done"},
		{stop, UnitState{ActiveState: "active"}, Unknown},
		{stop, UnitState{ActiveState: "activating"}, Unknown},
		{start, UnitState{ActiveState: "active"}, "done"},
		{restart, UnitState{ActiveState: "reloading"}, "done"},
		{start, UnitState{ActiveState: "failed", Result: "exit-code"}, "failed"},
		{start, UnitState{ActiveState: "activating", SubState: "auto-restart"}, "failed"},
		{restart, UnitState{ActiveState: "activating", SubState: "start"}, "failed"},
		{start, UnitState{ActiveState: "inactive", Result: "success", ExecMainPID: 9}, "done"},
		{start, UnitState{ActiveState: "inactive", Result: "success"}, Unknown},
		{start, UnitState{ActiveState: "deactivating"}, Unknown},
		{start, UnitState{ActiveState: "inactive", LoadState: "not-found"}, Unknown},
	} {
		if got := deduce(test.purpose, test.state); got != test.want {
			t.Errorf("%s, %+v: %s, want %s", test.purpose, test.state, got, test.want)
		}
	}
}
