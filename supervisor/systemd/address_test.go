package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhereTheManagerOfAUserIs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	bus, private := at(filepath.Join(dir, "bus"), false), at(filepath.Join(dir, "systemd/private"), true)
	session := address{bus: "unix:abstract=/tmp/session"}

	expect := func(what, variable string, want ...address) {
		t.Helper()
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", variable)
		if got := addresses(true); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("nothing is there", "", bus)
	if err := os.MkdirAll(filepath.Join(dir, "systemd"), 0o700); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(dir, "systemd/private"))
	expect("only the private socket", "", private)
	expect("another session's bus", session.bus, session, private)
	touch(t, filepath.Join(dir, "bus"))
	expect("a bus", "", bus)
	expect("a bus that is named", bus.bus, bus)
	expect("a bus beside another session's", session.bus, session, bus)
	expect("a bus to be launched", "autolaunch:", bus)
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheSystemBusMayBeNamed(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/else/where")
	if got := addresses(false); !slices.Equal(got, []address{{bus: "unix:path=/else/where"}}) {
		t.Errorf("addresses = %v", got)
	}
}
