package bustest

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollbridge/supervisor/systemd"
)

func TestVersionIsThatOfTheHost(t *testing.T) {
	b := dial(t)
	if want := os.Getenv("ROLLBRIDGE_TEST_HOST"); want != numberText(b.Version()) {
		t.Errorf("Version() = %d in a host with %s", b.Version(), want)
	}
	if state, err := b.SystemState(t.Context()); err != nil || state == "" {
		t.Errorf("SystemState() = %q, %v", state, err)
	}
	if err := systemd.Detect(t.Context(), systemd.Options{}); err != nil {
		t.Errorf("Detect: %v", err)
	}
}

func TestAUnitIsStartedReadAndStopped(t *testing.T) {
	b := dial(t)
	name := run(t, b, "a", "exec sleep 1000", setting("Slice", "test-bus.slice"), setting("Environment", []string{"A=b c"}))

	state := look(t, b, name)
	if state.ActiveState != "active" || state.SubState != "running" || state.Result != "success" || state.LoadState != "loaded" {
		t.Errorf("a running unit reads %+v", state)
	}
	if state.MainPID == 0 || state.ExecMainPID != state.MainPID || state.ExecMainCode != 0 || len(state.InvocationID) != 32 || state.Job != 0 {
		t.Errorf("a running unit reads %+v", state)
	}
	if state.Slice != "test-bus.slice" || len(state.Environment) != 1 || state.Environment[0] != "A=b c" {
		t.Errorf("settings read back %+v", state)
	}
	processes, err := os.ReadFile(systemd.CgroupPath(state.ControlGroup) + "/cgroup.procs")
	if err != nil || strings.TrimSpace(string(processes)) != numberText(state.MainPID) {
		t.Errorf("processes of %s: %q, %v; want %d", state.ControlGroup, processes, err, state.MainPID)
	}
	list, err := b.List(t.Context(), "test-TestAUnitIs*")
	if want := (systemd.UnitInfo{Name: name, LoadState: "loaded", ActiveState: "active", SubState: "running"}); err != nil || len(list) != 1 || list[0] != want {
		t.Errorf("List = %+v, %v", list, err)
	}

	if err := b.Stop(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if state, err := b.Unit(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("a stopped unit that nothing holds: %+v, %v", state, err)
	}
}

func TestAUnitThatIsNotLoaded(t *testing.T) {
	b := dial(t)
	const name = "test-nobody.service"
	if _, err := b.Unit(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("Unit: %v", err)
	}
	if _, err := b.Job(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("Job: %v", err)
	}
	if err := b.Restart(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("Restart: %v", err)
	}
	if err := b.Kill(t.Context(), name, syscall.SIGTERM); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("Kill: %v", err)
	}
	if err := b.Ref(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("Ref: %v", err)
	}
	for what, err := range map[string]error{
		"Stop":        b.Stop(t.Context(), name),
		"ResetFailed": b.ResetFailed(t.Context(), name),
		"Unref":       b.Unref(t.Context(), name),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A unit known by name only, since another one is ordered against it, is none.
func TestAUnitKnownByNameIsNotLoaded(t *testing.T) {
	b := dial(t)
	run(t, b, "a", "exec sleep 1000", setting("Before", []string{"test-known.service"}))
	if list, err := b.List(t.Context(), "test-known.service"); err != nil || len(list) != 1 || list[0].LoadState != "not-found" {
		t.Fatalf("List = %+v, %v", list, err)
	}
	if state, err := b.Unit(t.Context(), "test-known.service"); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("Unit = %+v, %v", state, err)
	}
}

func TestATakenNameIsSaid(t *testing.T) {
	b := dial(t)
	name := run(t, b, "a", "exec sleep 1000")
	err := b.StartTransient(t.Context(), name, settings("exec sleep 1000"))
	if !errors.Is(err, systemd.ErrExists) || !strings.Contains(err.Error(), name) {
		t.Errorf("started twice: %v", err)
	}
	if err := b.StartTransient(t.Context(), "dbus.service", settings("exec sleep 1000")); !errors.Is(err, systemd.ErrExists) {
		t.Errorf("started under the name of a stranger: %v", err)
	}
}

func TestWhatSystemdRefusesIsSaidInWords(t *testing.T) {
	b := dial(t)
	err := b.StartTransient(t.Context(), "test-refused.service", settings("true", setting("Nonsense", true)))
	if want := "start test-refused.service: systemd says: Cannot set property Nonsense, or unknown property"; err == nil || err.Error() != want {
		t.Errorf("unknown property:\n got %v\nwant %s", err, want)
	}
	err = b.StartTransient(t.Context(), "test-refused.service", settings("true", setting("KillMode", make(chan int))))
	if want := "start test-refused.service: property KillMode: chan int is no type of D-Bus"; err == nil || err.Error() != want {
		t.Errorf("property without a type:\n got %v\nwant %s", err, want)
	}
	err = b.StartTransient(t.Context(), "test-refused.scope", []systemd.Property{setting("PIDs", []uint32{1 << 22})})
	if err == nil || !strings.Contains(err.Error(), "rocess") {
		t.Errorf("scope of a process that does not exist: %v", err)
	}
}

func TestAStartThatFailsIsAJobError(t *testing.T) {
	b := dial(t)
	name := unitName(t, b, "a")
	err := b.StartTransient(t.Context(), name, settings("true", setting("Type", "exec"), setting("WorkingDirectory", "/nowhere"), held))
	if e, ok := errors.AsType[*systemd.JobError](err); !ok || *e != (systemd.JobError{Unit: name, Result: "failed"}) {
		t.Fatalf("StartTransient: %v", err)
	}
	// AddRef holds it all the same, so that one can see what happened.
	if err := b.ResetFailed(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if state := look(t, b, name); state.ExecMainStatus != 200 {
		t.Errorf("the unit reads %+v", state)
	}
}

func TestAStartEndsWithItsContextAndGoesOn(t *testing.T) {
	b := dial(t)
	name := unitName(t, b, "a")
	go_ := scratch(t, "go")
	ctx, cancel := contextUntil(t, b, name, active("activating"))
	defer cancel()
	err := b.StartTransient(ctx, name, settings("while ! test -e "+go_+"; do sleep 0.01; done; exec sleep 1000", setting("Type", "oneshot"), setting("RemainAfterExit", true)))
	if !errors.Is(err, errSeen) {
		t.Fatalf("StartTransient: %v", err)
	}
	if kind, err := b.Job(t.Context(), name); err != nil || kind != "start" {
		t.Errorf("Job = %q, %v", kind, err)
	}
}

func TestReferencesKeepAUnitThatEnded(t *testing.T) {
	b := dial(t)
	ended := run(t, b, "a", "exit 0", held)
	state := eventually(t, b, ended, "inactive", active("inactive"))
	if state.ExecMainPID == 0 || state.ExecMainCode != 1 {
		t.Errorf("a held unit that ended reads %+v", state)
	}
	if kind, err := b.Job(t.Context(), ended); err != nil || kind != "" {
		t.Errorf("Job = %q, %v", kind, err)
	}
	if err := b.Unref(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Unit(t.Context(), ended); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("let go, still there: %v", err)
	}

	later := run(t, b, "b", "exec sleep 1000")
	for range 2 { // twice is once
		if err := b.Ref(t.Context(), later); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Stop(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	look(t, b, later)
	if err := b.Unref(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Unit(t.Context(), later); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("let go, still there: %v", err)
	}
}

func TestKillReachesAllProcesses(t *testing.T) {
	b := dial(t)
	name := run(t, b, "a", "sleep 1000 & exec sleep 1000", held)
	if err := b.Kill(t.Context(), name, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	state := eventually(t, b, name, "failed", active("failed"))
	if state.Result != "signal" || state.ExecMainCode != 2 || state.ExecMainStatus != int(syscall.SIGUSR1) {
		t.Errorf("killed, the unit reads %+v", state)
	}
	if err := b.Kill(t.Context(), name, syscall.SIGKILL); err != nil {
		t.Errorf("killing a unit without processes: %v", err)
	}
}

// A unit that waits for its automatic restart, and one that has given up, are
// started at once.
func TestRestartDoesNotWait(t *testing.T) {
	b := dial(t)
	flag := scratch(t, "flag")
	name := run(t, b, "a", "test -e "+flag+" && exec sleep 1000; exit 1", held,
		setting("Restart", "always"), setting("RestartUSec", uint64(time.Hour/time.Microsecond)))
	eventually(t, b, name, "auto-restart", func(s systemd.UnitState, err error) bool { return s.SubState == "auto-restart" })
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	before := look(t, b, name)
	if before.SubState != "running" {
		t.Errorf("restarted, the unit reads %+v", before)
	}
	if err := b.Restart(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if after := look(t, b, name); after.SubState != "running" || after.MainPID == before.MainPID || after.InvocationID == before.InvocationID {
		t.Errorf("restarted again, the unit reads %+v, before %+v", after, before)
	}

	failed := run(t, b, "b", "exit 1", held, setting("Restart", "no"))
	eventually(t, b, failed, "failed", active("failed"))
	if err := b.ResetFailed(t.Context(), failed); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context(), failed); err != nil {
		t.Errorf("restart after giving up: %v", err)
	}
}

// The daemon stops and restarts units that are ordered before its own, while a
// job for its own unit is being done; waiting for that would be a deadlock.
func TestStopAndRestartDoNotWaitForTheDaemonsOwnJob(t *testing.T) {
	b := dial(t)
	for _, job := range []string{"stop", "restart"} {
		flag := scratch(t, "flag")
		stopping := execCommand{"/bin/sh", []string{"/bin/sh", "-c", "while ! test -e " + flag + "; do sleep 0.01; done"}, false}
		daemon := run(t, b, "daemon."+job, "exec sleep 1000", setting("ExecStop", []execCommand{stopping}))
		worker := run(t, b, "worker."+job, "exec sleep 1000", setting("Before", []string{daemon}))
		systemctl(t, job, "--no-block", daemon)
		eventually(t, b, daemon, "deactivating", active("deactivating"))
		if kind, err := b.Job(t.Context(), daemon); err != nil || kind != job {
			t.Errorf("Job = %q, %v; want %s", kind, err, job)
		}
		if err := b.Restart(t.Context(), worker); err != nil {
			t.Error(err)
		}
		if err := b.Stop(t.Context(), worker); err != nil {
			t.Error(err)
		}
		if state := look(t, b, daemon); state.ActiveState != "deactivating" {
			t.Errorf("the daemon's job is over, so nothing was proved: %+v", state)
		}
		if err := os.WriteFile(flag, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadUnitAsksWithoutABus(t *testing.T) {
	b := dial(t)
	name := run(t, b, "a", "exec sleep 1000")
	state, err := systemd.ReadUnit(t.Context(), systemd.Options{}, name)
	if err != nil || state.MainPID == 0 || state.ActiveState != "active" {
		t.Errorf("ReadUnit = %+v, %v", state, err)
	}
	if _, err := systemd.ReadUnit(t.Context(), systemd.Options{}, "test-nobody.service"); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("ReadUnit of nothing: %v", err)
	}
}
