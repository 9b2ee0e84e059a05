package emulated

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// uptime is the time on a clock that nobody sets.
func uptime() time.Duration {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano())
}

// setClock moves the machine's clock.
func setClock(t *testing.T, by time.Duration) {
	t.Helper()
	now := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Fatal(err)
	}
}

// A day ahead all windows and healthy runs would be over, a day back no delay.
func TestRestartsDoNotMindThatTheClockIsSet(t *testing.T) {
	const delay, day = 5 * time.Second, 24 * time.Hour
	policy := "restartDelayMs: 5000, restart: {maxRestarts: 2, windowMs: 3600000, backoffFactor: 2}"
	s := start(t, "clock", 8220, `
  - {id: web, policy: proxied, command: "exec $APP web", port: $PORTS, `+policy+`}
  - {id: worker, command: "exec $APP worker", `+policy+`}`)
	s.deploy("v1")
	both := []string{"web", "worker"}
	for n, by := range []time.Duration{day, -2 * day} {
		died, old := map[string]time.Duration{}, map[string]int{}
		for _, id := range both {
			old[id] = s.awaitRunning(id).PID
			died[id] = uptime()
			s.signal(old[id], syscall.SIGKILL)
		}
		for _, id := range both {
			s.await(id, "waits", func(p process) bool { return !p.RetryAt.IsZero() || p.Restarts > n })
		}
		setClock(t, by)
		for _, id := range both {
			p := s.process(id)
			if left := time.Until(p.RetryAt).Abs(); !p.RetryAt.IsZero() && left > patience {
				t.Errorf("%s: the clock was set by %s, and the next try is in %s", id, by, left)
			}
		}
		for _, id := range both {
			p := s.awaitNew(id, old[id])
			waited := uptime() - died[id]
			if least := delay << n; waited < least || waited > least+patience/2 {
				t.Errorf("%s was started %s after its end, the clock was set by %s; want %s", id, waited, by, least)
			}
			if p.Restarts != n+1 || p.UptimeMs < 0 || p.UptimeMs > patience.Milliseconds() {
				t.Errorf("%s: %+v", id, p)
			}
		}
	}
	setClock(t, day)
	s.killDaemon()
	for _, id := range both {
		p := s.awaitRunning(id)
		if p.UptimeMs < 0 || p.UptimeMs > 2*patience.Milliseconds() {
			t.Errorf("%s: %+v", id, p)
		}
		s.signal(p.PID, syscall.SIGKILL)
		s.await(id, "gave up", func(p process) bool { return p.GaveUp })
	}
}
