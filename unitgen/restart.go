package unitgen

import (
	"math"
	"time"

	"rollbridge/supervisor/config"
)

// restart maps the restart policy onto what systemd has. The unit is never
// stricter than the policy: its window is fixed, not sliding, and it knows no
// backoff, so the gate does the rest.
func (p *Properties) restart(policy config.Restart) {
	p.add("RestartPreventExitStatus", ExitStatuses{Codes: []int32{}, Signals: []int32{int32(GiveUpSignal)}})
	if policy.Max == 0 {
		p.add("Restart", "no")
		p.add("StartLimitIntervalUSec", uint64(0)) // starts by hand are not limited
		return
	}
	p.add("Restart", "always")
	p.add("RestartUSec", micros(RestartDelay(policy)))
	if policy.Max == config.Unlimited {
		p.add("StartLimitIntervalUSec", uint64(0))
		return
	}
	p.add("StartLimitIntervalUSec", window(policy.Window))
	p.add("StartLimitBurst", uint32(min(policy.Max, math.MaxUint32-1))+1) // the first start counts too
}

// RestartDelay is how long systemd waits before a restart. Its timers have a
// grid of 250 ms, so short delays are the gate's.
func RestartDelay(policy config.Restart) time.Duration {
	d := policy.Delay
	if policy.MaxDelay > 0 {
		d = min(d, policy.MaxDelay)
	}
	if d < time.Second {
		return 0
	}
	return d
}

// window is the time restarts are counted in; 0 is the whole life.
func window(d time.Duration) uint64 {
	if d <= 0 {
		return Infinity
	}
	return micros(d)
}

// micros is a duration in microseconds, rounded up: 0 often means something
// else.
func micros(d time.Duration) uint64 {
	n := uint64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		n++
	}
	return n
}
