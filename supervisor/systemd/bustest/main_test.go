// Package bustest tests the bus against a real systemd, inside a test host.
package bustest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/systemd"
	"rollbridge/supervisor/systemd/systemdtest"
)

func TestMain(m *testing.M) { systemdtest.Main(m) }

// dial is a Bus for a test.
func dial(t testing.TB) *systemd.Bus { return dialWith(t, systemd.Options{}) }

func dialWith(t testing.TB, opt systemd.Options) *systemd.Bus {
	t.Helper()
	b, err := systemd.Dial(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// execCommand is a command as the bus takes it, a(sasb).
type execCommand struct {
	Path          string
	Argv          []string
	IgnoreFailure bool
}

// settings are the properties of a service that runs a shell script, and more.
func settings(script string, more ...systemd.Property) []systemd.Property {
	command := execCommand{"/bin/sh", []string{"/bin/sh", "-c", script}, false}
	return append(more, systemd.Property{Name: "ExecStart", Value: []execCommand{command}})
}

func setting(name string, value any) systemd.Property {
	return systemd.Property{Name: name, Value: value}
}

// held keeps a unit loaded when it has ended.
var held = setting("AddRef", true)

// unitName is a unit's name that no other test has; the unit is gone after the
// test.
func unitName(t testing.TB, b *systemd.Bus, part string) string {
	t.Helper()
	name := strings.ReplaceAll("test-"+t.Name()+"."+part, "/", ".") + ".service"
	t.Cleanup(func() { discard(t, b, name) })
	return name
}

// discard leaves nothing of a unit.
func discard(t testing.TB, b *systemd.Bus, name string) {
	ctx := context.Background() // the test's is over
	for _, err := range []error{b.Stop(ctx, name), b.ResetFailed(ctx, name), b.Unref(ctx, name)} {
		if err != nil {
			t.Error(err)
		}
	}
}

// run starts a unit and returns its name.
func run(t testing.TB, b *systemd.Bus, part, script string, more ...systemd.Property) string {
	t.Helper()
	name := unitName(t, b, part)
	if err := b.StartTransient(t.Context(), name, settings(script, more...)); err != nil {
		t.Fatal(err)
	}
	return name
}

// look reads a unit that has to be there.
func look(t testing.TB, b *systemd.Bus, name string) systemd.UnitState {
	t.Helper()
	state, err := b.Unit(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// eventually looks at a unit at each token until it is as wanted.
func eventually(t testing.TB, b *systemd.Bus, name, wanted string, is func(systemd.UnitState, error) bool) systemd.UnitState {
	t.Helper()
	changed, stop := b.Watch(name)
	defer stop()
	timeout := time.After(20 * time.Second)
	for {
		state, err := b.Unit(t.Context(), name)
		if is(state, err) {
			return state
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s: want %s, have %+v, %v", name, wanted, state, err)
		}
	}
}

// active is a test for eventually.
func active(want string) func(systemd.UnitState, error) bool {
	return func(s systemd.UnitState, err error) bool { return err == nil && s.ActiveState == want }
}

// systemctl runs a systemctl command, over the manager's own socket.
func systemctl(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
		t.Fatalf("systemctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// scratch is a file for units to write to.
func scratch(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(t.TempDir(), name)
}

// several calls f for 0..n-1 at once and fails with what they return.
func several(t testing.TB, n int, f func(i int) error) {
	t.Helper()
	failures := make(chan error, n)
	for i := range n {
		go func() { failures <- f(i) }()
	}
	for range n {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

func numbered(i int) string { return fmt.Sprintf("n%d", i) }

func numberText(n int) string { return strconv.Itoa(n) }

// errSeen ends the context of contextUntil.
var errSeen = errors.New("the unit is as awaited")

// contextUntil ends when a unit is in a state.
func contextUntil(t testing.TB, b *systemd.Bus, name string, is func(systemd.UnitState, error) bool) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(t.Context())
	changed, stop := b.Watch(name)
	go func() {
		defer stop()
		for {
			if state, err := b.Unit(ctx, name); is(state, err) || ctx.Err() != nil {
				cancel(errSeen)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
