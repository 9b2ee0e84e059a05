package systemd

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

// The types that the manager's properties have (org.freedesktop.systemd1(5)).
func TestGoTypesOfProperties(t *testing.T) {
	type command struct {
		Path          string `json:"path"`
		Argv          []string
		IgnoreFailure bool
	}
	type commands []command
	type statuses struct{ Codes, Signals []int32 }
	for _, test := range []struct {
		property string
		value    any
		want     string
	}{
		{"ExecStart", commands{{"/bin/true", []string{"/bin/true"}, false}}, "a(sasb)"},
		{"ExecStart", commands{}, "a(sasb)"},
		{"RestartPreventExitStatus", statuses{nil, []int32{62}}, "(aiai)"},
		{"EnvironmentFiles", []struct {
			Path     string
			Optional bool
		}{{"/etc/default/shop", true}}, "a(sb)"},
		{"WorkingDirectory", "/srv", "s"},
		{"Environment", []string{"A=1"}, "as"},
		{"LogExtraFields", [][]byte{[]byte("A=1")}, "aay"},
		{"TimeoutStopUSec", uint64(1), "t"},
		{"StartLimitBurst", uint32(1), "u"},
		{"PIDs", []uint32{1}, "au"},
		{"KillSignal", int32(15), "i"},
		{"AddRef", true, "b"},
		{"AllowedCPUs", []byte{3}, "ay"},
	} {
		settings, err := encodeProperties([]Property{{test.property, test.value}})
		if err != nil {
			t.Errorf("%s: %v", test.property, err)
			continue
		}
		if got := settings[0].Value.Signature().String(); got != test.want {
			t.Errorf("%s: %T is %s on the bus, want %s", test.property, test.value, got, test.want)
		}
		if got := dbus.SignatureOf(settings).String(); got != "a(sv)" {
			t.Errorf("the settings are %s on the bus", got)
		}
	}
}

func TestAPropertyThatIsNoTypeOfTheBus(t *testing.T) {
	_, err := encodeProperties([]Property{{"KillMode", func() {}}})
	if err == nil || err.Error() != "property KillMode: func() is no type of D-Bus" {
		t.Errorf("encode: %v", err)
	}
}
