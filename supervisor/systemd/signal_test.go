package systemd

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

const (
	managerConnection  = ":1.0"
	strangerConnection = ":1.66"
)

// listener is a Bus and a connection of it to a manager, without the wire.
func listener() (*Bus, *connection) {
	b := newBus(Options{})
	c := &connection{signals: b}
	owner := managerConnection
	c.owner.Store(&owner)
	return b, c
}

func signal(sender, iface, member string, path dbus.ObjectPath, body ...any) func(*connection) {
	return func(c *connection) {
		c.DeliverSignal(iface, member, &dbus.Signal{Sender: sender, Path: path, Name: iface + "." + member, Body: body})
	}
}

const unit = dbus.ObjectPath("/org/freedesktop/systemd1/unit/shop_2eservice")

func TestSignalsThatMakeAWatcherLookAgain(t *testing.T) {
	manager := func(member string, body ...any) func(*connection) {
		return signal(managerConnection, managerInterface, member, managerPath, body...)
	}
	for _, test := range []struct {
		name   string
		signal func(*connection)
		want   int
	}{
		{"properties", signal(managerConnection, properties, "PropertiesChanged", unit, unitInterface, map[string]dbus.Variant{}, []string{}), 1},
		{"new", manager("UnitNew", "shop.service", unit), 1},
		{"removed", manager("UnitRemoved", "shop.service", unit), 1},
		{"job", manager("JobRemoved", uint32(7), dbus.ObjectPath("/job/7"), "shop.service", "done"), 1},
		{"reloaded", manager("Reloading", false), 1},
		{"another owner", signal(busName, busName, "NameOwnerChanged", "/", managerName, managerConnection, ":1.9"), 1},

		{"begins to reload", manager("Reloading", true), 0},
		{"has left", signal(busName, busName, "NameOwnerChanged", "/", managerName, managerConnection, ""), 0},
		{"another name's owner", signal(busName, busName, "NameOwnerChanged", "/", "org.example", "", ":1.9"), 0},
		{"another unit", signal(managerConnection, properties, "PropertiesChanged", unit+"x"), 0},
		{"another job", manager("JobRemoved", uint32(7), dbus.ObjectPath("/job/7"), "other.service", "done"), 0},
		{"nonsense", manager("UnitNew", 7), 0},
		{"nonsense", manager("JobRemoved", "7"), 0},
		{"nothing", manager("Reloading"), 0},
		{"unknown", manager("UnitFilesChanged"), 0},

		{"forged", signal(strangerConnection, properties, "PropertiesChanged", unit), 0},
		{"forged", signal(strangerConnection, managerInterface, "UnitRemoved", managerPath, "shop.service", unit), 0},
		{"forged", signal(managerName, managerInterface, "UnitRemoved", managerPath, "shop.service", unit), 0},
		{"forged", signal(strangerConnection, busName, "NameOwnerChanged", "/", managerName, managerConnection, ":1.9"), 0},
	} {
		b, c := listener()
		changed, stop := b.Watch("shop.service")
		test.signal(c)
		test.signal(c)
		if len(changed) != test.want {
			t.Errorf("%s: %d tokens, want %d", test.name, len(changed), test.want)
		}
		stop()
	}
}

func TestSignalsOfAManagerUnderItsNewName(t *testing.T) {
	b, c := listener()
	changed, stop := b.Watch("shop.service")
	defer stop()
	signal(busName, busName, "NameOwnerChanged", "/", managerName, managerConnection, ":1.9")(c)
	<-changed
	signal(managerConnection, managerInterface, "UnitNew", managerPath, "shop.service", unit)(c)
	if len(changed) != 0 {
		t.Error("the manager's old name still counts")
	}
	signal(":1.9", managerInterface, "UnitNew", managerPath, "shop.service", unit)(c)
	if len(changed) != 1 {
		t.Error("the manager's new name does not count")
	}
}

// The private socket has no names; only the manager can write to it.
func TestSignalsOverThePrivateSocket(t *testing.T) {
	b := newBus(Options{})
	c := &connection{signals: b, direct: true}
	changed, stop := b.Watch("shop.service")
	defer stop()
	signal("", managerInterface, "UnitNew", managerPath, "shop.service", unit)(c)
	if len(changed) != 1 {
		t.Error("the manager's signal does not count")
	}
}

func TestThePathOfAUnit(t *testing.T) {
	for name, want := range map[string]string{
		"shop.service":                    "shop_2eservice",
		"rollbridge-my\\x2dshop.v1.scope": "rollbridge_2dmy_5cx2dshop_2ev1_2escope",
		"0.service":                       "_30_2eservice",
		"a0.slice":                        "a0_2eslice",
		"-.slice":                         "_2d_2eslice",
		"user@1000.service":               "user_401000_2eservice",
		"\u00fc_.service":                 "_c3_bc_5f_2eservice",
	} {
		if got := unitPath(name); got != managerPath+"/unit/"+dbus.ObjectPath(want) {
			t.Errorf("unitPath(%q) = %s, want …%s", name, got, want)
		}
		if !unitPath(name).IsValid() {
			t.Errorf("unitPath(%q) = %s is no path", name, unitPath(name))
		}
	}
}

func TestMajorVersion(t *testing.T) {
	for text, want := range map[string]int{"252.39-1~deb12u1": 252, "257~rc2": 257, "256": 256, "v257": 0, "": 0, "git": 0} {
		if got := majorVersion(text); got != want {
			t.Errorf("majorVersion(%q) = %d, want %d", text, got, want)
		}
	}
}
