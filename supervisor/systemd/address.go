package systemd

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/godbus/dbus/v5"
)

// address is a place where a manager can be spoken with.
type address struct {
	bus    string // D-Bus address
	direct bool   // the manager's private socket: no bus, no names, no references
}

func (a address) String() string { return a.bus }

// addresses are where a manager may be found, in the order of trying. The
// private socket comes last, and only where no bus has its socket: a bus that is
// just being restarted keeps it.
func addresses(user bool) []address {
	if user {
		return userAddresses()
	}
	if a := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); a != "" {
		return []address{{bus: a}}
	}
	return busOrPrivate("/run/dbus/system_bus_socket", "/run/systemd/private")
}

// userAddresses: the session bus is that of the user manager, except where a
// program such as dbus-run-session made another one; then the second one counts.
func userAddresses() (found []address) {
	if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" && a != "autolaunch:" {
		found = append(found, address{bus: a})
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	for _, a := range busOrPrivate(filepath.Join(dir, "bus"), filepath.Join(dir, "systemd/private")) {
		if len(found) == 0 || found[0] != a {
			found = append(found, a)
		}
	}
	return found
}

func busOrPrivate(bus, private string) []address {
	if exists(bus) || !exists(private) {
		return []address{at(bus, false)}
	}
	return []address{at(private, true)}
}

func at(path string, direct bool) address {
	return address{bus: "unix:path=" + dbus.EscapeBusAddressValue(path), direct: direct}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
