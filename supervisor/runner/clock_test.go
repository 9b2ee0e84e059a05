package runner

import (
	"testing"
	"time"

	"rollbridge/supervisor/gate"
)

// The clock of this machine cannot be set, but a status can be that of a time
// when it was set differently.
func TestStatusDoesNotMindThatTheClockWasSet(t *testing.T) {
	now, boot := time.Now().Round(0), gate.Boottime()
	for _, set := range []time.Duration{-24 * time.Hour, 0, 24 * time.Hour} {
		s := Status{
			StartedAt: now.Add(set - time.Minute), StartedBoot: boot - time.Minute,
			RetryAt: now.Add(set + time.Minute), RetryBoot: boot + time.Minute,
		}
		if up := s.Uptime(); up < time.Minute || up > 2*time.Minute {
			t.Errorf("set by %s: up %s, want a minute", set, up)
		}
		if left := time.Until(s.NextTry()); left < 30*time.Second || left > 90*time.Second {
			t.Errorf("set by %s: next try in %s, want a minute", set, left)
		}
	}
}

func TestNextTryIsTheSameAtEveryLook(t *testing.T) {
	at := time.Now().Add(time.Minute).Round(0)
	s := Status{RetryAt: at, RetryBoot: gate.Boottime() + time.Minute - 3*time.Millisecond}
	if got := s.NextTry(); !got.Equal(at) {
		t.Errorf("%s, want %s", got, at)
	}
	if got := (Status{RetryAt: at}).NextTry(); !got.Equal(at) {
		t.Errorf("without another clock: %s, want %s", got, at)
	}
	if got := (Status{RetryBoot: time.Hour}).NextTry(); !got.IsZero() {
		t.Errorf("when none will come: %s", got)
	}
}
