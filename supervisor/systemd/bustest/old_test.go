package bustest

import (
	"bufio"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"rollbridge/supervisor/systemd"
)

const managerName = "org.freedesktop.systemd1"

// oldManager is a manager on a bus, as far as one is asked before it is used.
type oldManager struct{ version string }

func (m oldManager) Get(string, string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(m.version), nil
}

func (oldManager) Subscribe() *dbus.Error { return nil }

// ownBus starts a bus that is the system bus from now on.
func ownBus(t *testing.T) *dbus.Conn {
	t.Helper()
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address")
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", strings.TrimSpace(address))
	conn, err := dbus.Connect(strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// appear puts a manager of a version on a bus.
func appear(t *testing.T, conn *dbus.Conn, version string) {
	t.Helper()
	for _, iface := range []string{managerName + ".Manager", "org.freedesktop.DBus.Properties"} {
		if err := conn.Export(oldManager{version}, "/org/freedesktop/systemd1", iface); err != nil {
			t.Error(err)
		}
	}
	if _, err := conn.RequestName(managerName, dbus.NameFlagDoNotQueue); err != nil {
		t.Error(err)
	}
}

func TestOlderSystemdIsRefused(t *testing.T) {
	appear(t, ownBus(t), "251 (251.19-1)")
	err := systemd.Detect(t.Context(), systemd.Options{})
	var unusable *systemd.Unusable
	if !errors.As(err, &unusable) || err.Error() != "systemd is of version 251, and 252 is the oldest that will do" || unusable.Hint != "" {
		t.Errorf("%v", err)
	}
}

// A bus is there before its manager, when both have just been started.
func TestAManagerThatComesToItsBusLaterIsAwaited(t *testing.T) {
	conn := ownBus(t)
	time.AfterFunc(300*time.Millisecond, func() { appear(t, conn, "252") })
	if err := systemd.Detect(t.Context(), systemd.Options{}); err != nil {
		t.Error(err)
	}
}

func TestABusWithoutAManagerIsNotAwaitedForEver(t *testing.T) {
	ownBus(t)
	err := systemd.Detect(t.Context(), systemd.Options{})
	var unusable *systemd.Unusable
	if !errors.As(err, &unusable) || !strings.HasPrefix(err.Error(), "systemd cannot be reached: connect to systemd at unix:") || unusable.Hint == "" {
		t.Errorf("%v", err)
	}
}
