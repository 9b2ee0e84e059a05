package runner

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/config"
)

func policy(p config.Restart) func(*config.Spec) {
	return func(s *config.Spec) { s.Restart = p }
}

func mustStart(t *testing.T, f *fakes) {
	t.Helper()
	if err := f.Start(t.Context(), Deploy); err != nil {
		t.Fatal(err)
	}
}

func mustStop(t *testing.T, f *fakes) {
	t.Helper()
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRestartsFollowThePolicy(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.lives = 100 * time.Millisecond
		mustStart(t, f)
		time.Sleep(10 * time.Second)
		f.happened(t, "0.0 started deploy",
			"0.1 exited", "0.1 release", "1.1 started crash",
			"1.2 exited", "1.2 release", "3.2 started crash",
			"3.3 exited", "3.3 restart limit reached", "3.3 release")
		if s, _ := f.Watch(); s.State != Failed || !s.GaveUp || s.Restarts != 2 || !s.RetryAt.IsZero() || s.PID != 0 {
			t.Errorf("%+v", s)
		}
	}, policy(config.Restart{Delay: time.Second, Max: 2, Factor: 2}))
}

func TestStatusTellsWhenTheRestartIsDue(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.lives = time.Second
		mustStart(t, f)
		time.Sleep(2 * time.Second)
		s, _ := f.Watch()
		if s.State != Failed || time.Since(f.began)+time.Until(s.RetryAt) != 6*time.Second || s.Exit.Code != 1 || s.Reason != Deploy {
			t.Errorf("%+v", s)
		}
		time.Sleep(4500 * time.Millisecond)
		if s, _ := f.Watch(); s.State != Running || s.Reason != Crash || s.Exit != nil || !s.RetryAt.IsZero() || s.Restarts != 1 {
			t.Errorf("%+v", s)
		}
	}, policy(config.Restart{Delay: 5 * time.Second, Max: config.Unlimited}))
}

func TestManualStartsHaveAFreshBudget(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.lives = time.Second
		mustStart(t, f)
		time.Sleep(time.Minute)
		f.happened(t, "0.0 started deploy", "1.0 exited", "1.0 release", "1.0 started crash",
			"2.0 exited", "2.0 restart limit reached", "2.0 release")
		if err := f.Restart(t.Context(), Manual); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		f.happened(t, "60.0 started manual", "61.0 exited", "61.0 release", "61.0 started crash",
			"62.0 exited", "62.0 restart limit reached", "62.0 release")
	}, policy(config.Restart{Max: 1, Factor: 1}))
}

func TestFailedStartsAreRetriedAndCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		bad := errors.New("working directory /x does not exist")
		f.fail(bad)
		if err := f.Start(t.Context(), Deploy); !errors.Is(err, bad) {
			t.Fatalf("%v", err)
		}
		time.Sleep(2500 * time.Millisecond)
		if s, _ := f.Watch(); s.State != Failed || s.Err != bad || s.Restarts != 2 {
			t.Errorf("%+v", s)
		}
		f.fail(nil)
		time.Sleep(time.Second)
		if s, _ := f.Watch(); s.State != Running || s.Err != nil {
			t.Errorf("%+v", s)
		}
		f.fail(bad)
		f.newest().exitNow(Exit{})
		time.Sleep(time.Minute)
		f.happened(t, "1.0 restart failed", "2.0 restart failed", "3.0 started crash",
			"3.5 exited", "3.5 release", "4.5 restart failed", "4.5 restart limit reached")
	}, policy(config.Restart{Delay: time.Second, Max: 4, Factor: 1}))
}

func TestStopCancelsAPendingRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.lives = time.Second
		mustStart(t, f)
		time.Sleep(2 * time.Second)
		mustStop(t, f)
		if s, _ := f.Watch(); s.State != Stopped || !s.RetryAt.IsZero() {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy", "1.0 exited", "1.0 release")
	}, policy(config.Restart{Delay: time.Minute, Max: config.Unlimited, Factor: 1}))
}

func TestRetiredProcessesAreNotRestarted(t *testing.T) {
	pending := policy(config.Restart{Delay: time.Minute, Max: config.Unlimited, Factor: 1})
	inBubble(t, func(t *testing.T, f *fakes) {
		mustStart(t, f)
		f.Retire()
		f.Retire()
		f.newest().exitNow(Exit{})
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy", "0.0 exited", "0.0 release")
	}, pending)
	inBubble(t, func(t *testing.T, f *fakes) {
		mustStart(t, f)
		f.newest().exitNow(Exit{})
		time.Sleep(time.Second)
		f.Retire()
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy", "0.0 exited", "0.0 release")
		if s, _ := f.Watch(); s.State != Failed || !s.RetryAt.IsZero() {
			t.Errorf("%+v", s)
		}
	}, pending)
}

func TestStartOfARunningProcessDoesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		for range 3 {
			mustStart(t, f)
		}
		f.happened(t, "0.0 started deploy")
	})
}

func TestStartDoesNotWaitForABackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		mustStart(t, f)
		f.newest().exitNow(Exit{})
		time.Sleep(time.Second)
		if err := f.Start(t.Context(), Manual); err != nil {
			t.Fatal(err)
		}
		f.happened(t, "0.0 started deploy", "0.0 exited", "0.0 release", "1.0 started manual")
	}, policy(config.Restart{Delay: time.Hour, Max: config.Unlimited, Factor: 1}))
}

func TestConcurrentRestartsAreOne(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.onSignal = func(i *fake) { time.AfterFunc(time.Second, func() { i.exitNow(Exit{}) }) }
		mustStart(t, f)
		answers := make(chan error)
		for range 3 {
			go func() { answers <- f.Restart(t.Context(), Manual) }()
		}
		for range 3 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		f.happened(t, "0.0 started deploy", "0.0 SIGTERM", "1.0 exited", "1.0 release", "1.0 started manual")
	})
}

func TestStopWinsOverARestartUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.onSignal = func(i *fake) { time.AfterFunc(2*time.Second, func() { i.exitNow(Exit{}) }) }
		mustStart(t, f)
		answer := make(chan error)
		go func() { answer <- f.Restart(t.Context(), Manual) }()
		time.Sleep(time.Second)
		mustStop(t, f)
		if err := <-answer; !errors.Is(err, ErrStopped) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy", "0.0 SIGTERM", "2.0 exited", "2.0 release")
	})
}

func TestStartAwaitsAStopUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.onSignal = func(i *fake) { time.AfterFunc(2*time.Second, func() { i.exitNow(Exit{}) }) }
		mustStart(t, f)
		go f.Stop(context.Background())
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Start(hasty, Manual); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if err := f.Start(t.Context(), Manual); err != nil {
			t.Error(err)
		}
		f.happened(t, "0.0 started deploy", "0.0 SIGTERM", "2.0 exited", "2.0 release", "2.0 started manual")
	})
}

func TestStopsOfOneProcessAreOne(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.onSignal = nil
		mustStart(t, f)
		first := make(chan error)
		go func() { first <- f.Stop(context.Background()) }()
		time.Sleep(3 * time.Second)
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Stop(hasty); err != nil {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		mustStop(t, f)
		f.happened(t, "0.0 started deploy", "0.0 1s", "1.0 SIGTERM", "4.0 timed out", "4.0 SIGKILL", "4.0 exited", "4.0 release")
	}, func(s *config.Spec) { s.Stop.Lifecycle.Quiet = "1s" })
}

func TestRestartThatIsCutShortStaysStopped(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.onSignal = nil
		mustStart(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Restart(ctx, Manual); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy", "0.0 SIGTERM", "1.0 timed out", "1.0 SIGKILL", "1.0 exited", "1.0 release")
	})
}

func TestWhatSurvivesSIGKILLIsNamedAndBlocksTheNextStart(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.onSignal, f.unkillable = nil, true
		mustStart(t, f)
		err := f.Stop(t.Context())
		if err == nil || err.Error() != "still running after SIGKILL: process 7 (stuck)" {
			t.Fatalf("%v", err)
		}
		if s, _ := f.Watch(); s.State != Failed || s.Err == nil {
			t.Errorf("%+v", s)
		}
		if err := f.Start(t.Context(), Manual); err == nil {
			t.Error("started beside it")
		}
		mustNotStop := f.Stop(t.Context())
		if mustNotStop == nil {
			t.Error("a second stop forgets it")
		}
		f.unkillable = false
		mustStop(t, f)
		mustStart(t, f)
		if s, _ := f.Watch(); s.State != Running || s.Err != nil {
			t.Errorf("%+v", s)
		}
	}, policy(config.Restart{Delay: time.Hour, Max: config.Unlimited, Factor: 1}))
}

func TestLeftoversHaveTheirGraceBeforeTheRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.leaves, f.onSignal = true, nil
		mustStart(t, f)
		f.newest().exitNow(Exit{Code: 1})
		time.Sleep(11 * time.Second)
		f.happened(t, "0.0 started deploy", "0.0 exited", "0.0 SIGTERM",
			"10.0 timed out", "10.0 SIGKILL", "10.0 release", "10.0 started crash")
	}, policy(config.Restart{Delay: time.Second, Max: config.Unlimited, Factor: 1}))
}

func TestStopJoinsTheEndOfLeftovers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.leaves, f.onSignal = true, nil
		mustStart(t, f)
		f.newest().exitNow(Exit{Code: 1})
		time.Sleep(time.Second)
		mustStop(t, f)
		time.Sleep(time.Hour)
		f.happened(t, "0.0 started deploy", "0.0 exited", "0.0 SIGTERM", "10.0 timed out", "10.0 SIGKILL", "10.0 release")
	}, func(s *config.Spec) { s.Stop.Lifecycle.Quiet = "1s" })
}

func TestUpdateIsForTheNextStartAndEventsNameTheRunningOne(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		var releases []string
		f.observe = func(e Event) { releases = append(releases, e.Spec.Release+" "+e.Message) }
		mustStart(t, f)
		next := f.Spec()
		next.Release, next.Stop.Signal = "v2", 10
		f.Update(next)
		if err := f.Restart(t.Context(), Manual); err != nil {
			t.Fatal(err)
		}
		f.happened(t, "0.0 SIGUSR1", "0.0 release")
		if want := []string{"v1 process started", "v1 process exited", "v2 process started"}; !slices.Equal(releases, want) {
			t.Errorf("%q", releases)
		}
	}, func(s *config.Spec) { s.Release = "v1" })
}

func TestEveryChangeClosesTheChannelOfItsWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fakes) {
		f.lives = time.Second
		_, changed := f.Watch()
		states := make(chan []State)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			var seen []State
			defer func() { states <- seen }()
			for {
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
				var s Status
				if s, changed = f.Watch(); len(seen) == 0 || seen[len(seen)-1] != s.State {
					seen = append(seen, s.State)
				}
			}
		}()
		mustStart(t, f)
		time.Sleep(1500 * time.Millisecond)
		mustStop(t, f)
		synctest.Wait()
		cancel()
		seen := <-states
		if seen[len(seen)-1] != Stopped || !slices.Contains(seen, Failed) {
			t.Errorf("%v", seen)
		}
	}, policy(config.Restart{Delay: time.Hour, Max: config.Unlimited, Factor: 1}))
}

func TestNothingIsLeftOfAStoppedProcess(t *testing.T) {
	// synctest fails the test when a goroutine outlives the bubble.
	inBubble(t, func(t *testing.T, f *fakes) {
		mustStop(t, f)
		f.happened(t)
		if s, _ := f.Watch(); s.State != Stopped {
			t.Errorf("%+v", s)
		}
		mustStart(t, f)
		mustStop(t, f)
	})
}
