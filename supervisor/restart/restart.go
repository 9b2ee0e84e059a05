// Package restart decides about automatic restarts. It is one pure policy, used
// by the direct runner and by the exec gate of a unit, so that both restart
// alike.
package restart

import (
	"math"
	"time"

	"rollbridge/supervisor/config"
)

// DefaultHealthyRun is how long a run has to last to reset the backoff exponent
// when the policy has no window of its own.
const DefaultHealthyRun = 10 * time.Minute

// History is what the policy remembers of one process. Its zero value is a
// fresh budget. Times are offsets on a clock that never jumps (the direct
// runner: since the process was made; the gate: CLOCK_BOOTTIME).
type History struct {
	// Restarts are the moments automatic restarts were decided on, within the
	// window, or over the whole life when there is none. Kept only under a
	// budget or a backoff.
	Restarts []time.Duration `json:"restarts,omitempty"`
	// Healed is how many of Restarts lie before the last long healthy run: they
	// count in the budget, not in the backoff exponent.
	Healed int `json:"healed,omitempty"`
}

// Decision is what follows from an exit.
type Decision struct {
	GiveUp bool
	Delay  time.Duration // until the restart, when it does not give up
}

// Decide says what to do at an unexpected exit, or failed start, at the moment
// now of a run that lasted ran, and returns the history to keep. Any exit
// counts, status 0 too.
func Decide(p config.Restart, h History, now, ran time.Duration) (Decision, History) {
	if p.Max == config.Unlimited && p.Factor <= 1 {
		return Decision{Delay: capped(p, p.Delay)}, History{}
	}
	h = h.within(p.Window, now)
	if ran >= healthyRun(p) {
		h.Healed = len(h.Restarts)
	}
	if p.Max != config.Unlimited && len(h.Restarts) >= p.Max {
		return Decision{GiveUp: true}, h
	}
	delay := backoff(p, len(h.Restarts)-h.Healed)
	kept := append(h.Restarts[:len(h.Restarts):len(h.Restarts)], now)
	return Decision{Delay: delay}, History{Restarts: kept, Healed: h.Healed}.bounded(p)
}

// within drops the restarts that have left the window.
func (h History) within(window, now time.Duration) History {
	if window <= 0 {
		return h
	}
	old := 0
	for old < len(h.Restarts) && h.Restarts[old] <= now-window {
		old++
	}
	return History{Restarts: h.Restarts[old:], Healed: max(0, h.Healed-old)}
}

// bounded forgets what changes no later delay, so that the history of an
// unlimited policy does not grow for ever.
func (h History) bounded(p config.Restart) History {
	drop := len(h.Restarts) - steepest(p)
	if p.Max != config.Unlimited || drop <= 0 {
		return h
	}
	return History{Restarts: h.Restarts[drop:], Healed: max(0, h.Healed-drop)}
}

// steepest is the exponent from which on every delay is the longest one.
func steepest(p config.Restart) int {
	longest := capped(p, math.MaxInt64)
	if p.Delay <= 0 || p.Delay >= longest {
		return 0
	}
	return int(math.Ceil(math.Log(float64(longest)/float64(p.Delay))/math.Log(p.Factor))) + 1
}

// healthyRun is how long a run must last to reset the backoff exponent.
func healthyRun(p config.Restart) time.Duration {
	if p.Window > 0 {
		return p.Window
	}
	return DefaultHealthyRun
}

// backoff is the delay before the restart that follows n others.
func backoff(p config.Restart, n int) time.Duration {
	if p.Delay <= 0 {
		return 0
	}
	d := float64(p.Delay) * math.Pow(max(1, p.Factor), float64(n))
	if d >= float64(math.MaxInt64) {
		return capped(p, math.MaxInt64)
	}
	return capped(p, time.Duration(d))
}

func capped(p config.Restart, d time.Duration) time.Duration {
	if p.MaxDelay > 0 {
		return min(d, p.MaxDelay)
	}
	return d
}
