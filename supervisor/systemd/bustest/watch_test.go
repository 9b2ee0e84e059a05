package bustest

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"rollbridge/supervisor/systemd"
)

func TestATokenForEachWatcherOfAUnit(t *testing.T) {
	b := dial(t)
	name := run(t, b, "a", "exec sleep 1000", held)
	first, stopFirst := b.Watch(name)
	second, stopSecond := b.Watch(name)
	defer stopSecond()
	other, stopOther := b.Watch("test-nobody.service")
	defer stopOther()

	if err := b.Kill(t.Context(), name, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, c := range []<-chan struct{}{first, second} {
		select {
		case <-c:
		case <-time.After(10 * time.Second):
			t.Fatal("a unit died and a watcher was not told")
		}
	}
	eventually(t, b, name, "failed", active("failed"))
	select {
	case <-other:
		t.Error("a unit died and the watcher of another one was told")
	default:
	}

	stopFirst()
	stopFirst() // does no harm
	for len(first) > 0 {
		<-first
	}
	if err := b.Restart(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if len(first) > 0 {
		t.Error("told after it stopped watching")
	}
}

// Looking at a unit that is gone causes no signal about it; else who looks again
// at each signal never comes to rest.
func TestLookingAtWhatIsGoneCausesNoSignal(t *testing.T) {
	b := dial(t)
	name := run(t, b, "a", "exec sleep 1000")
	if err := b.Stop(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	changed, stop := b.Watch(name)
	defer stop()
	for range 20 {
		if _, err := b.Unit(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
			t.Fatal(err)
		}
		if _, err := b.Job(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
			t.Fatal(err)
		}
	}
	// The signals of these looks come before those of another unit's start.
	run(t, b, "b", "exec sleep 1000")
	if len(changed) > 1 {
		t.Fatal("more than one token")
	}
	for len(changed) > 0 {
		<-changed // of the stop
	}
	if _, err := b.Unit(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
		t.Fatal(err)
	}
	run(t, b, "c", "exec sleep 1000")
	if len(changed) > 0 {
		t.Error("a look at a unit that is gone caused a signal")
	}
}

// However many signals come at once, whoever looks again at each token ends up
// with the last state.
func TestManyUnitsCrashingAtOnceAreAllSeen(t *testing.T) {
	const units = 200
	b := dial(t)
	names := make([]string, units)
	for i := range names {
		names[i] = unitName(t, b, numbered(i))
	}
	several(t, units, func(i int) error {
		return b.StartTransient(t.Context(), names[i], settings("exec sleep 1000", held,
			setting("Restart", "always"), setting("RestartUSec", uint64(0)), setting("StartLimitIntervalUSec", uint64(0))))
	})
	watching := make(chan error, units)
	ready := make(chan struct{}, units)
	for _, name := range names {
		changed, stop := b.Watch(name)
		go func() {
			defer stop()
			ready <- struct{}{}
			watching <- untilRestarted(t, b, name, changed)
		}()
	}
	for range units {
		<-ready
	}
	several(t, units, func(i int) error { return b.Kill(t.Context(), names[i], syscall.SIGSEGV) })
	for range units {
		if err := <-watching; err != nil {
			t.Error(err)
		}
	}
}

// untilRestarted looks at a unit at each token until it runs again.
func untilRestarted(t *testing.T, b *systemd.Bus, name string, changed <-chan struct{}) error {
	for {
		state, err := b.Unit(t.Context(), name)
		if err != nil || state.NRestarts == 1 && state.SubState == "running" {
			return err
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			return fmt.Errorf("%s: nothing more heard after %+v", name, state)
		}
	}
}
