package bustest

import (
	"errors"
	"os"
	"testing"

	"rollbridge/supervisor/systemd"
)

// accepted are the properties that rollbridge sets, or may, with the Go types
// they are given in; both versions take them all. (Memory limits need a
// controller only to take effect.)
var accepted = []systemd.Property{
	setting("Description", "a worker"),
	setting("Type", "exec"),
	setting("ExecStopPost", []execCommand{{"/bin/true", []string{"/bin/true", "a b"}, true}}),
	setting("WorkingDirectory", "/"),
	setting("Environment", []string{"A=1", "B=$A %n \\ \"\n"}),
	setting("NotifyAccess", "main"),
	setting("TimeoutStartUSec", ^uint64(0)),
	setting("TimeoutStopUSec", uint64(5_000_000)),
	setting("Restart", "always"),
	setting("RestartUSec", uint64(0)),
	setting("StartLimitIntervalUSec", uint64(60_000_000)),
	setting("StartLimitBurst", uint32(4)),
	setting("RestartPreventExitStatus", struct{ Codes, Signals []int32 }{[]int32{}, []int32{62}}),
	setting("SuccessExitStatus", struct{ Codes, Signals []int32 }{[]int32{143}, []int32{}}),
	setting("KillMode", "control-group"),
	setting("KillSignal", int32(15)),
	setting("FinalKillSignal", int32(9)),
	setting("SendSIGKILL", true),
	setting("SyslogIdentifier", "shop.worker@v42"),
	setting("SyslogLevel", int32(6)),
	setting("LogExtraFields", [][]byte{[]byte("ROLLBRIDGE_APPLICATION=shop")}),
	setting("LogRateLimitIntervalUSec", uint64(0)),
	setting("Slice", "test-bus.slice"),
	setting("CollectMode", "inactive"),
	setting("Before", []string{"test-known.service"}),
	setting("MemoryMax", uint64(1<<30)),
	setting("OOMPolicy", "stop"),
	setting("OOMScoreAdjust", int32(100)),
	setting("LimitNOFILE", uint64(4096)),
	setting("UMask", uint32(0o27)),
	setting("Nice", int32(1)),
	setting("AllowedCPUs", []byte{1}),
	held,
}

func TestBothVersionsTakeTheseProperties(t *testing.T) {
	b := dial(t)
	for _, p := range accepted {
		name := unitName(t, b, p.Name)
		if err := b.StartTransient(t.Context(), name, settings("exec sleep 1000", p)); err != nil {
			t.Errorf("%s = %v: %v", p.Name, p.Value, err)
		}
	}
	name := unitName(t, b, "all")
	if err := b.StartTransient(t.Context(), name, settings("exec sleep 1000", accepted...)); err != nil {
		t.Error(err)
	}
	if state := look(t, b, name); len(state.Environment) != 2 || state.Environment[1] != "B=$A %n \\ \"\n" {
		t.Errorf("Environment = %q", state.Environment)
	}
}

func TestAScopeIsMadeAroundAProcess(t *testing.T) {
	b := dial(t)
	child, stop := sleepingChild(t)
	defer stop()
	const name = "test-scope.scope"
	t.Cleanup(func() { discard(t, b, name) })
	err := b.StartTransient(t.Context(), name, []systemd.Property{
		setting("PIDs", []uint32{uint32(child)}), setting("CollectMode", "inactive-or-failed"), setting("TimeoutStopUSec", uint64(1_000_000)),
	})
	if err != nil {
		t.Fatal(err)
	}
	state := look(t, b, name)
	if state.ActiveState != "active" || state.ControlGroup == "" || state.MainPID != 0 {
		t.Errorf("the scope reads %+v", state)
	}
	processes, err := os.ReadFile(systemd.CgroupPath(state.ControlGroup) + "/cgroup.procs")
	if err != nil || string(processes) != numberText(child)+"\n" {
		t.Errorf("its processes are %q, %v", processes, err)
	}
	stop()
	eventually(t, b, name, "nothing", func(_ systemd.UnitState, err error) bool { return errors.Is(err, systemd.ErrNoUnit) })
}
