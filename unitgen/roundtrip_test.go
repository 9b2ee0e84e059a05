package unitgen_test

import (
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

func TestBothFormsOfTheSamplesSayTheSame(t *testing.T) {
	for _, s := range samples(system(257)) {
		t.Run(s.name, func(t *testing.T) { checkRoundTrip(t, s.unit) })
	}
}

// The text of a unit, read as systemd reads it, is the unit on the bus.
func FuzzRoundTrip(f *testing.F) {
	f.Add("shop", "worker", "v42", "app", "/usr/bin/rollbridge", "/run/rollbridge/shop/exec", int64(1e9), int64(6e10), int64(1e10), 3, 15)
	f.Add("50% \"of\" it\\", "a.b", "1.0", "DOMAIN\\us er", "/opt/with space/$x;y", "/run/%n/\n\t'q'\\", int64(1), int64(0), int64(0), -1, 64)
	f.Add(" #a", ";b\r\n[Unit]", "\\", "\xff", "/a\"b", "", int64(-1), int64(1), config.Indefinite.Nanoseconds(), 1<<62, 9)
	f.Fuzz(func(t *testing.T, application, process, release, user, program, gates string, delay, window, grace int64, restarts, signal int) {
		for _, text := range []string{program, gates} { // the bus takes no others
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Skip()
			}
		}
		if strings.ContainsRune(application+process+release, 0) || unitgen.SliceName(application) == "rollbridge-.slice" || restarts < -1 {
			t.Skip()
		}
		if signal < 1 || signal > 64 || signal == 32 || signal == 33 { // the C library's own
			t.Skip()
		}
		spec := config.Spec{
			Application: application, Process: process, Instance: process, Release: release, Generation: signal, User: user,
			Policy:  []config.Policy{config.Companion, config.Service, config.Singleton}[signal%3],
			Stop:    config.Stop{Signal: syscall.Signal(signal), Grace: time.Duration(grace)},
			Restart: config.Restart{Delay: time.Duration(delay), Window: time.Duration(window), Max: restarts},
			Memory:  &config.Memory{HardLimit: max(0, window)},
		}
		h := unitgen.Host{Version: unitgen.Oldest, Program: "/" + program, Gates: gates, DaemonUnit: unitgen.ServiceName(spec)}
		checkRoundTrip(t, unitgen.Service(spec, "k3v9x2", h))
		checkRoundTrip(t, unitgen.Scope(spec, 1, 1, h))
	})
}

func checkRoundTrip(t *testing.T, u unitgen.Unit) {
	t.Helper()
	text := u.Text()
	read := parseUnitFile(t, text).properties(t)
	for _, p := range u.Properties {
		if p.Name == "AddRef" || p.Name == "PIDs" {
			continue // have no place in a file
		}
		if !reflect.DeepEqual(read[p.Name], p.Value) {
			t.Errorf("%s: the bus gets %#v, the text says %#v:\n%s", p.Name, p.Value, read[p.Name], text)
		}
		delete(read, p.Name)
	}
	for name, value := range read {
		t.Errorf("only the text has %s = %#v", name, value)
	}
}
