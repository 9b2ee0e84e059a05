package bustest

import (
	"testing"

	"rollbridge/supervisor/systemd"
)

func BenchmarkDial(b *testing.B) {
	for b.Loop() {
		bus, err := systemd.Dial(b.Context(), systemd.Options{})
		if err != nil {
			b.Fatal(err)
		}
		bus.Close()
	}
}

func BenchmarkReadUnit(b *testing.B) {
	name := run(b, dial(b), "a", "exec sleep 1000")
	for b.Loop() {
		if _, err := systemd.ReadUnit(b.Context(), systemd.Options{}, name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnit(b *testing.B) {
	for _, hold := range []bool{true, false} {
		bus := dial(b)
		which := map[bool]string{true: "held", false: "not held"}[hold]
		name := run(b, bus, which[:1], "exec sleep 1000", setting("AddRef", hold))
		b.Run(which, func(b *testing.B) {
			for b.Loop() {
				look(b, bus, name)
			}
		})
	}
	bus := dial(b)
	b.Run("not loaded", func(b *testing.B) {
		for b.Loop() {
			bus.Unit(b.Context(), "test-nobody.service")
		}
	})
}

func BenchmarkList(b *testing.B) {
	bus := dial(b)
	run(b, bus, "a", "exec sleep 1000")
	for b.Loop() {
		if _, err := bus.List(b.Context(), "test-*"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStartAndStop(b *testing.B) {
	bus := dial(b)
	name := unitName(b, bus, "a")
	command := settings("exec sleep 1000", setting("Type", "exec"))
	for b.Loop() {
		if err := bus.StartTransient(b.Context(), name, command); err != nil {
			b.Fatal(err)
		}
		if err := bus.Stop(b.Context(), name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestart(b *testing.B) {
	bus := dial(b)
	name := run(b, bus, "a", "exec sleep 1000", setting("Type", "exec"), setting("StartLimitIntervalUSec", uint64(0)))
	for b.Loop() {
		if err := bus.Restart(b.Context(), name); err != nil {
			b.Fatal(err)
		}
	}
}
