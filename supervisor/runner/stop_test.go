package runner

import (
	"syscall"
	"testing"
	"time"

	"rollbridge/supervisor/config"
)

func stops(change func(*config.Stop)) func(*config.Spec) {
	return func(s *config.Spec) { change(&s.Stop) }
}

func TestStopGoesStepByStep(t *testing.T) {
	all := config.Lifecycle{Quiet: "1s", Drain: "2s", Stop: "3s", DrainTimeout: time.Minute}
	exitsAfter := func(d time.Duration) func(*fake) {
		return func(i *fake) { time.AfterFunc(d, func() { i.exitNow(Exit{}) }) }
	}
	for _, test := range []struct {
		name     string
		stop     func(*config.Stop)
		onSignal func(*fake)
		lives    time.Duration
		want     []string
	}{{
		name:     "signal",
		onSignal: exitsAfter(2 * time.Second),
		want:     []string{"0.0 SIGTERM", "2.0 exited", "2.0 release"},
	}, {
		name: "grace",
		want: []string{"0.0 SIGTERM", "10.0 timed out", "10.0 SIGKILL", "10.0 exited", "10.0 release"},
	}, {
		name: "no grace",
		stop: func(s *config.Stop) { s.Grace = 0 },
		want: []string{"0.0 SIGTERM", "0.0 timed out", "0.0 SIGKILL", "0.0 exited", "0.0 release"},
	}, {
		name:     "indefinite grace",
		stop:     func(s *config.Stop) { s.Grace = config.Indefinite },
		onSignal: exitsAfter(9 * time.Hour),
		want:     []string{"0.0 SIGTERM", "32400.0 exited", "32400.0 release"},
	}, {
		name:     "own signal",
		stop:     func(s *config.Stop) { s.Signal = syscall.SIGQUIT },
		onSignal: exitsAfter(0),
		want:     []string{"0.0 SIGQUIT", "0.0 exited", "0.0 release"},
	}, {
		name:     "all hooks; grace counts from the end of the stop command",
		stop:     func(s *config.Stop) { s.Lifecycle = all },
		onSignal: exitsAfter(0),
		want:     []string{"0.0 1s", "1.0 2s", "3.0 3s", "16.0 timed out", "16.0 SIGKILL", "16.0 exited", "16.0 release"},
	}, {
		name: "hooks out of time",
		stop: func(s *config.Stop) {
			s.Lifecycle = config.Lifecycle{Quiet: "1h", Drain: "1h", DrainTimeout: 20 * time.Second}
		},
		onSignal: exitsAfter(0),
		want: []string{"0.0 1h", "10.0 quiet command timed out", "10.0 1h", "30.0 drain command timed out",
			"30.0 SIGTERM", "30.0 exited", "30.0 release"},
	}, {
		name: "hooks of an indefinite grace",
		stop: func(s *config.Stop) {
			s.Grace, s.Lifecycle = config.Indefinite, config.Lifecycle{Quiet: "1h"}
		},
		onSignal: exitsAfter(0),
		want:     []string{"0.0 1h", "30.0 quiet command timed out", "30.0 SIGTERM", "30.0 exited", "30.0 release"},
	}, {
		name:     "hook that cannot run",
		stop:     func(s *config.Stop) { s.Lifecycle.Quiet = "missing" },
		onSignal: exitsAfter(0),
		want:     []string{"0.0 missing", "0.0 quiet command failed", "0.0 SIGTERM", "0.0 exited", "0.0 release"},
	}, {
		name:     "drain without a command waits for the exit, then signals",
		stop:     func(s *config.Stop) { s.Lifecycle.DrainTimeout = 7 * time.Second },
		onSignal: exitsAfter(0),
		want:     []string{"7.0 SIGTERM", "7.0 exited", "7.0 release"},
	}, {
		name:  "drain without a command ends with the exit, without a signal",
		stop:  func(s *config.Stop) { s.Lifecycle.DrainTimeout = 7 * time.Second },
		lives: 3 * time.Second,
		want:  []string{"3.0 exited", "3.0 release"},
	}, {
		name:  "exit during quiet leaves nothing to do",
		stop:  func(s *config.Stop) { s.Lifecycle = all },
		lives: 500 * time.Millisecond,
		want:  []string{"0.0 1s", "0.5 exited", "1.0 release"},
	}} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fakes) {
				f.onSignal, f.lives = test.onSignal, test.lives
				mustStart(t, f)
				f.happened(t, "0.0 started deploy")
				mustStop(t, f)
				f.happened(t, test.want...)
			}, stops(func(s *config.Stop) {
				if test.stop != nil {
					test.stop(s)
				}
			}))
		})
	}
}
