package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollbridge/supervisor/systemd"
)

// gaps are what interrupts a manager's answers and signals.
var gaps = []struct {
	name  string
	cause func(testing.TB)
	lost  bool // the connection breaks
}{
	{"daemon-reload", func(t testing.TB) { systemctl(t, "daemon-reload") }, false},
	{"daemon-reexec", func(t testing.TB) { systemctl(t, "daemon-reexec") }, false},
	{"bus restarted", func(t testing.TB) { manyBuses(t); systemctl(t, "restart", "dbus.service") }, true},
	{"bus killed", func(t testing.TB) { manyBuses(t); systemctl(t, "kill", "--signal=KILL", "dbus.service") }, true},
}

// manyBuses keeps systemd from giving up the bus, which these tests restart too
// often for its start limit.
func manyBuses(t testing.TB) { systemctl(t, "reset-failed", "dbus.service") }

// waitingStart is a unit that is ready when a file is there.
func waitingStart(flag string) []systemd.Property {
	return settings("while ! test -e "+flag+"; do sleep 0.01; done; systemd-notify --ready; exec sleep 1000",
		setting("Type", "notify"), setting("NotifyAccess", "all"), setting("TimeoutStartUSec", ^uint64(0)))
}

func TestAGapInTheMiddleOfEverything(t *testing.T) {
	for _, gap := range gaps {
		t.Run(gap.name, func(t *testing.T) {
			var mu sync.Mutex
			var changes []bool
			connected := make(chan struct{}, 10)
			b := dialWith(t, systemd.Options{OnChange: func(is bool, err error) {
				mu.Lock()
				defer mu.Unlock()
				changes = append(changes, is)
				if is == (err != nil) {
					t.Errorf("OnChange(%v, %v)", is, err)
				}
				if is {
					connected <- struct{}{}
				}
			}})
			ended := run(t, b, "ended", "exit 0", held)
			eventually(t, b, ended, "inactive", active("inactive"))
			kept := run(t, b, "kept", "exec sleep 1000", held)

			flag := scratch(t, "flag")
			starting := unitName(t, b, "starting")
			started := make(chan error, 1)
			go func() { started <- b.StartTransient(t.Context(), starting, waitingStart(flag)) }()
			eventually(t, b, starting, "activating", active("activating"))

			reading, stopReading := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			var reads atomic.Int64
			for range 4 {
				readers.Go(func() {
					for reading.Err() == nil {
						if _, err := b.Unit(reading, kept); err != nil && reading.Err() == nil {
							t.Errorf("a read in the gap: %v", err)
							return
						}
						reads.Add(1)
					}
				})
			}
			changed, stop := b.Watch(kept)
			defer stop()

			gap.cause(t)
			if gap.lost {
				<-connected
			}
			select {
			case <-changed:
			case <-time.After(20 * time.Second):
				t.Error("a watcher was not told to look again")
			}
			select {
			case err := <-started:
				t.Errorf("StartTransient returned too early: %v", err)
			default:
			}
			if err := os.WriteFile(flag, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := <-started; err != nil {
				t.Errorf("the start that the gap fell into: %v", err)
			}
			stopReading()
			readers.Wait()
			if reads.Load() == 0 {
				t.Error("nothing was read")
			}

			// References outlive the gap: on 252 and 257 a manager that reloads or
			// executes itself anew keeps them, and a Bus takes those of its lost
			// connection again. What nothing but the lost one held may be gone.
			if err := b.Stop(t.Context(), kept); err != nil {
				t.Fatal(err)
			}
			look(t, b, kept)
			if _, err := b.Unit(t.Context(), ended); err != nil && !(gap.lost && errors.Is(err, systemd.ErrNoUnit)) {
				t.Errorf("an ended unit that was held: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if gap.lost && (len(changes) != 2 || changes[0] || !changes[1]) || !gap.lost && len(changes) != 0 {
				t.Errorf("OnChange was told %v", changes)
			}
		})
	}
}

// Starts, restarts and stops that a gap falls into are each carried out once: not
// lost, and not done twice.
func TestEachJobIsDoneOnceOverGaps(t *testing.T) {
	for _, gap := range gaps {
		t.Run(gap.name, func(t *testing.T) {
			const units, times, gapEvery = 10, 4, 50
			b := dial(t)
			script := scratch(t, "script")
			if err := os.WriteFile(script, []byte("echo started >>$1"), 0o700); err != nil {
				t.Fatal(err)
			}
			var steps atomic.Int64
			var causing sync.WaitGroup
			defer causing.Wait()
			several(t, units, func(i int) error {
				l := life{b: b, name: unitName(t, b, numbered(i)), command: script, log: scratch(t, "log")}
				l.step = func() {
					if steps.Add(1)%gapEvery == 0 {
						causing.Go(func() { gap.cause(t) })
					}
				}
				for n := range times {
					if err := l.live(t.Context()); err != nil {
						return err
					}
					text, err := os.ReadFile(l.log)
					if err != nil || bytes.Count(text, []byte("started")) != 2*(n+1) {
						return fmt.Errorf("%s was started otherwise than %d times: %q, %w", l.name, 2*(n+1), text, err)
					}
				}
				return nil
			})
		})
	}
}

// life is a unit that lives again and again. Its command ends before its start
// does; it has no characters that systemd changes at a reload.
type life struct {
	b                  *systemd.Bus
	name, command, log string
	step               func() // is called before each step
}

// live starts the unit, starts it once more, and leaves nothing of it.
func (l life) live(ctx context.Context) error {
	create := func(ctx context.Context, name string) error {
		return l.b.StartTransient(ctx, name, settings(l.command+" "+l.log, held, setting("Type", "oneshot"), setting("RemainAfterExit", true)))
	}
	for _, step := range []func(context.Context, string) error{create, l.b.Restart, l.b.Stop, l.b.ResetFailed, l.b.Unref} {
		l.step()
		if err := step(ctx, l.name); err != nil {
			return err
		}
	}
	return nil
}

func TestAClosedBusSaysSo(t *testing.T) {
	b := dial(t)
	starting := unitName(t, dial(t), "a")
	started := make(chan error, 1)
	go func() {
		started <- b.StartTransient(t.Context(), starting, waitingStart("/nowhere"))
	}()
	eventually(t, b, starting, "activating", active("activating"))
	b.Close()
	if err := <-started; err == nil || err.Error() != "start "+starting+": the connection to systemd is closed" {
		t.Errorf("a start under way: %v", err)
	}
	if _, err := b.Unit(t.Context(), starting); err == nil {
		t.Error("a read after Close succeeded")
	}
	b.Close() // does no harm
}

// A unit that has given up is revived (ResetFailed, Restart) also when a reload
// came in between.
func TestAHeldUnitOutlivesReloads(t *testing.T) {
	b := dial(t)
	for _, code := range []string{"0", "1"} {
		for _, gap := range gaps[:2] {
			name := run(t, b, code+"."+gap.name, "exit "+code, held)
			eventually(t, b, name, "inactive", func(s systemd.UnitState, err error) bool {
				return s.ActiveState == "failed" || s.ActiveState == "inactive" && s.ExecMainCode != 0
			})
			gap.cause(t)
			if err := b.ResetFailed(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			gap.cause(t)
			if err := b.Restart(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	}
}
