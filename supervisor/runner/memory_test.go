package runner

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/config"
)

// limited is a process that is restarted after a second when it uses more than
// 100, and warned of above 50; it is measured every two seconds.
func limited(s *config.Spec) {
	s.Restart = config.Restart{Delay: time.Second, Max: config.Unlimited, Factor: 1}
	s.Memory = &config.Memory{Limit: 100, Warn: 50, CheckInterval: 2 * time.Second}
}

func TestExceededMemoryRestartsGracefully(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(101)
		f.onSignal = func(i *fake) {
			f.use(10)
			time.AfterFunc(3*time.Second, func() { i.exitNow(Exit{}) })
		}
		mustStart(t, f)
		time.Sleep(5 * time.Second)
		if s, _ := f.Watch(); s.State != Stopping || s.PID == 0 || s.RSSBytes != 101 || len(s.Children) != 1 {
			t.Errorf("while it is stopped: %+v", s)
		}
		time.Sleep(1500 * time.Millisecond)
		if s, _ := f.Watch(); s.State != Failed || s.RetryAt.IsZero() || s.RSSBytes != 0 || s.Children != nil {
			t.Errorf("while it waits: %+v", s)
		}
		time.Sleep(10 * time.Second)
		f.happened(t, "0.0 started deploy", "2.0 limit 100 exceeded: 101", "2.0 1s", "3.0 SIGTERM",
			"6.0 exited", "6.0 release", "7.0 started memory")
		if s, _ := f.Watch(); s.State != Running || s.Reason != Memory || s.MemoryRestarts != 1 || s.Restarts != 0 ||
			s.LastMemoryRestartAt.Sub(f.began) != 7*time.Second || s.RSSBytes != 10 {
			t.Errorf("afterwards: %+v", s)
		}
	}, limited, func(s *config.Spec) { s.Stop.Lifecycle.Quiet = "1s" })
}

func TestMemoryIsMeasuredFirstAfterAnInterval(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(70)
		mustStart(t, f)
		time.Sleep(1900 * time.Millisecond)
		if s, _ := f.Watch(); s.RSSBytes != 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(200 * time.Millisecond)
		if s, _ := f.Watch(); s.RSSBytes != 70 || fmt.Sprint(s.Children) != "[{100 fake 70}]" {
			t.Errorf("%+v", s)
		}
	}, limited)
}

func TestMemoryWarningsComeOncePerCrossing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		mustStart(t, f)
		for _, bytes := range []int64{50, 51, 60, 50, 100, 99, 0} {
			f.use(bytes)
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		f.happened(t, "0.0 started deploy", "4.0 warning 50: 51", "10.0 warning 50: 100")
	}, limited)
}

// W29: the original restarted at once, for ever.
func TestMemoryRestartsWaitAndCountInTheBudget(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		mustStart(t, f)
		time.Sleep(time.Minute)
		f.happened(t,
			"0.0 started deploy", "2.0 limit 100 exceeded: 200", "2.0 SIGTERM", "2.0 exited", "2.0 release",
			"3.0 started memory", "5.0 limit 100 exceeded: 200", "5.0 SIGTERM", "5.0 exited", "5.0 release",
			"7.0 started memory", "9.0 limit 100 exceeded: 200", "9.0 SIGTERM", "9.0 exited", "9.0 release",
			"9.0 restart limit reached")
		if s, _ := f.Watch(); s.State != Failed || !s.GaveUp || s.MemoryRestarts != 2 {
			t.Errorf("%+v", s)
		}
	}, limited, policy(config.Restart{Delay: time.Second, Max: 2, Factor: 2}))
}

func TestChangedLimitsHoldAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(40)
		mustStart(t, f)
		time.Sleep(3 * time.Second)
		f.happened(t, "0.0 started deploy")
		spec := f.Spec()
		spec.Memory = &config.Memory{Limit: 30, CheckInterval: 2 * time.Second}
		if err := f.Update(spec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		f.happened(t, "4.0 limit 30 exceeded: 40", "4.0 SIGTERM", "4.0 exited", "4.0 release")
	}, limited)
}

func TestMemorySupervisionCanBeAddedAndTakenAway(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		mustStart(t, f)
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy")
		without, with := f.Spec(), f.Spec()
		with.Memory = &config.Memory{Limit: 1000, CheckInterval: time.Second}
		for _, step := range []struct {
			spec config.Spec
			want int64
		}{{with, 200}, {without, 0}} {
			if err := f.Update(step.spec); err != nil {
				t.Fatal(err)
			}
			time.Sleep(config.DefaultMemoryCheckInterval + 2*time.Second)
			if s, _ := f.Watch(); s.RSSBytes != step.want {
				t.Errorf("%+v, want %d", s, step.want)
			}
		}
	})
}

func TestUnknownUseIsNoReasonToRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.uses, f.unmeasured = 200, errors.New("no such file")
		mustStart(t, f)
		time.Sleep(time.Minute)
		f.happened(t, "0.0 started deploy")
		f.use(200)
		time.Sleep(2 * time.Second)
		f.happened(t, "62.0 limit 100 exceeded: 200", "62.0 SIGTERM", "62.0 exited", "62.0 release")
	}, limited)
}

func TestFailedMemoryRestartIsToldAndTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		mustStart(t, f)
		f.fail(errors.New("working directory /x does not exist"))
		time.Sleep(3500 * time.Millisecond)
		f.fail(nil)
		f.use(1)
		time.Sleep(time.Minute)
		f.happened(t, "0.0 started deploy", "2.0 limit 100 exceeded: 200", "2.0 SIGTERM", "2.0 exited", "2.0 release",
			"3.0 memory restart failed", "4.0 started crash")
		if s, _ := f.Watch(); s.MemoryRestarts != 1 || s.Restarts != 1 {
			t.Errorf("%+v", s)
		}
	}, limited)
}

func TestStopWinsOverAMemoryRestart(t *testing.T) {
	for name, at := range map[string]time.Duration{"while it stops": 3 * time.Second, "while it waits": 5500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fakes) {
				f.use(200)
				f.onSignal = func(i *fake) { time.AfterFunc(3*time.Second, func() { i.exitNow(Exit{}) }) }
				mustStart(t, f)
				time.Sleep(at)
				mustStop(t, f)
				time.Sleep(time.Minute)
				f.happened(t, "0.0 started deploy", "2.0 limit 100 exceeded: 200", "2.0 SIGTERM", "5.0 exited", "5.0 release")
				if s, _ := f.Watch(); s.State != Stopped || !s.RetryAt.IsZero() || s.MemoryRestarts != 0 {
					t.Errorf("%+v", s)
				}
			}, limited)
		})
	}
}

func TestStopHurriesAMemoryRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		f.onSignal = func(*fake) {}
		mustStart(t, f)
		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		f.happened(t, "0.0 started deploy", "2.0 limit 100 exceeded: 200", "2.0 SIGTERM", "3.0 timed out", "3.0 SIGKILL", "3.0 exited", "3.0 release")
	}, limited)
}

func TestManualRestartDuringAMemoryRestartStartsOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		f.onSignal = func(i *fake) {
			f.use(1)
			time.AfterFunc(3*time.Second, func() { i.exitNow(Exit{}) })
		}
		mustStart(t, f)
		time.Sleep(3 * time.Second)
		if err := f.Restart(t.Context(), Manual); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		f.happened(t, "0.0 started deploy", "2.0 limit 100 exceeded: 200", "2.0 SIGTERM", "5.0 exited", "5.0 release", "5.0 started manual")
	}, limited)
}

func TestRetiredProcessesAreEndedForMemoryAndNotStartedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		mustStart(t, f)
		if err := f.Retire(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		f.happened(t, "0.0 started deploy", "2.0 limit 100 exceeded: 200", "2.0 SIGTERM", "2.0 exited", "2.0 release")
		if s, _ := f.Watch(); s.State != Failed || s.GaveUp {
			t.Errorf("%+v", s)
		}
	}, limited)
}

func TestNewFiguresOfMemoryWakeNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(1)
		mustStart(t, f)
		_, changed := f.Watch()
		time.Sleep(time.Minute)
		if s, _ := f.Watch(); closed(changed) || s.RSSBytes != 1 {
			t.Errorf("changed %v, %+v", closed(changed), s)
		}
	}, limited)
}

func TestCrashAboveTheLimitIsACrash(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.use(200)
		f.lives = time.Second
		mustStart(t, f)
		time.Sleep(2500 * time.Millisecond)
		f.happened(t, "0.0 started deploy", "1.0 exited", "1.0 release", "2.0 started crash")
	}, limited)
}
