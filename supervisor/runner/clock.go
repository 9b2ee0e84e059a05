package runner

import (
	"time"

	"rollbridge/supervisor/gate"
)

// Uptime is how long the instance that runs has been running, whatever the
// clock was set to meanwhile.
func (s Status) Uptime() time.Duration {
	if s.StartedBoot == 0 {
		return time.Since(s.StartedAt)
	}
	return gate.Boottime() - s.StartedBoot
}

// tick is how far two readings of a clock differ without anyone having set it.
const tick = time.Second

// NextTry is RetryAt by the clock as it is set now: restarts wait by one that
// nobody sets.
func (s Status) NextTry() time.Time {
	if s.RetryAt.IsZero() || s.RetryBoot == 0 {
		return s.RetryAt
	}
	at := time.Now().Add(s.RetryBoot - gate.Boottime())
	if at.Round(0).Sub(s.RetryAt.Round(0)).Abs() < tick { // by the clock that can be set
		return s.RetryAt // the same at every look
	}
	return at
}
