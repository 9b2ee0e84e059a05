package restart

import (
	"math"
	"slices"
	"testing"
	"time"

	"rollbridge/supervisor/config"
)

const (
	ms    = time.Millisecond
	never = -ms // in want: gives up
)

// crashes runs a process that lives so long each time, and lists the delays
// until it is given up.
func crashes(p config.Restart, lives time.Duration, n int) []time.Duration {
	var h History
	var delays []time.Duration
	now := time.Duration(0)
	for range n {
		now += lives
		var d Decision
		if d, h = Decide(p, h, now, lives); d.GiveUp {
			return append(delays, never)
		}
		delays = append(delays, d.Delay)
		now += d.Delay
	}
	return delays
}

func times(n int, d time.Duration) []time.Duration { return slices.Repeat([]time.Duration{d}, n) }

func TestDelaysOfEachPolicy(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy config.Restart
		lives  time.Duration
		want   []time.Duration
	}{
		{"constant", config.Restart{Delay: 200 * ms, Max: config.Unlimited, Factor: 1}, ms, times(20, 200*ms)},
		{"at once", config.Restart{Max: config.Unlimited, Factor: 1}, 0, times(20, 0)},
		{"capped without backoff", config.Restart{Delay: 200 * ms, Max: config.Unlimited, Factor: 1, MaxDelay: 50 * ms}, ms, times(5, 50*ms)},
		{"capped with a budget", config.Restart{Delay: 200 * ms, Max: 2, Factor: 1, MaxDelay: 50 * ms}, ms, []time.Duration{50 * ms, 50 * ms, never}},
		{"two for ever", config.Restart{Delay: ms, Max: 2, Factor: 1}, time.Hour, []time.Duration{ms, ms, never}},
		{"none", config.Restart{Delay: ms, Max: 0, Factor: 1}, time.Hour, []time.Duration{never}},
		{"backoff", config.Restart{Delay: 100 * ms, Max: config.Unlimited, Factor: 2, MaxDelay: 500 * ms}, ms,
			[]time.Duration{100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms, 500 * ms}},
		{"backoff without cap", config.Restart{Delay: 100 * ms, Max: 5, Factor: 3}, ms,
			[]time.Duration{100 * ms, 300 * ms, 900 * ms, 2700 * ms, 8100 * ms, never}},
		{"window full", config.Restart{Delay: 100 * ms, Max: 3, Factor: 1, Window: time.Second}, 50 * ms,
			[]time.Duration{100 * ms, 100 * ms, 100 * ms, never}},
		{"window ages", config.Restart{Delay: 300 * ms, Max: 3, Factor: 1, Window: time.Second}, 50 * ms, times(50, 300*ms)},
		{"delay 0 grows to nothing", config.Restart{Max: config.Unlimited, Factor: 2}, 0, times(2000, 0)},
	} {
		if got := crashes(test.policy, test.lives, len(test.want)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestBackoffFallsAgainWhenRestartsLeaveTheWindow(t *testing.T) {
	p := config.Restart{Delay: 100 * ms, Max: 3, Factor: 2, Window: time.Second}
	delays := crashes(p, 300*ms, 100)
	if len(delays) != 100 || delays[99] == never {
		t.Fatalf("gave up: %v", delays)
	}
	if slices.Max(delays) > 400*ms || slices.Min(delays[3:]) > 200*ms {
		t.Errorf("%v", delays)
	}
}

func TestARestartExactlyOneWindowOldIsForgotten(t *testing.T) {
	p := config.Restart{Delay: ms, Max: 1, Factor: 1, Window: time.Second}
	_, h := Decide(p, History{}, 5*time.Second, 0)
	if d, _ := Decide(p, h, 6*time.Second-1, 0); !d.GiveUp {
		t.Error("forgotten too early")
	}
	if d, _ := Decide(p, h, 6*time.Second, 0); d.GiveUp {
		t.Error("kept too long")
	}
}

func TestAHealthyRunResetsTheBackoffNotTheBudget(t *testing.T) {
	p := config.Restart{Delay: time.Second, Max: 4, Factor: 2}
	var h History
	var got []time.Duration
	now := time.Duration(0)
	for _, ran := range []time.Duration{0, 0, DefaultHealthyRun - 1, DefaultHealthyRun, 0} {
		now += ran
		var d Decision
		d, h = Decide(p, h, now, ran)
		if d.GiveUp {
			d.Delay = never
		}
		got = append(got, d.Delay)
		now += max(0, d.Delay)
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, time.Second, never}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAnUnlimitedHistoryStaysSmall(t *testing.T) {
	p := config.Restart{Delay: time.Second, Max: config.Unlimited, Factor: 1.5, MaxDelay: time.Minute}
	var h History
	for n := range 10_000 {
		var d Decision
		d, h = Decide(p, h, time.Duration(n)*time.Minute, 0)
		if n > 20 && d.Delay != time.Minute {
			t.Fatalf("delay %s at restart %d", d.Delay, n)
		}
	}
	if len(h.Restarts) > 15 {
		t.Errorf("%d restarts kept", len(h.Restarts))
	}
}

func TestAHugeBackoffIsTheLongestDelay(t *testing.T) {
	p := config.Restart{Delay: time.Hour, Max: config.Unlimited, Factor: 1e300}
	if got := crashes(p, 0, 2); got[1] != math.MaxInt64 {
		t.Errorf("%v", got)
	}
}

func TestDecideLeavesTheHistoryItIsGiven(t *testing.T) {
	p := config.Restart{Delay: ms, Max: 10, Factor: 2}
	base := History{Restarts: make([]time.Duration, 2, 8)}
	Decide(p, base, time.Second, 0)
	Decide(p, base, time.Minute, 0)
	if extra := base.Restarts[:3]; extra[2] != 0 {
		t.Errorf("written over: %v", extra)
	}
}

// FuzzDecide replays any sequence of runs and compares with what the policy
// says in plain words.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 0, 0}, uint16(100), 2, uint16(1000), 2.0, uint16(500))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(1), -1, uint16(0), 1.5, uint16(0))
	f.Add([]byte{255, 0, 255, 0, 0, 255}, uint16(10), 3, uint16(0), 1.0, uint16(0))
	f.Fuzz(func(t *testing.T, runs []byte, delay uint16, most int, window uint16, factor float64, cap uint16) {
		if !(factor >= 1 && factor < 1e6) || len(runs) > 200 {
			return
		}
		p := config.Restart{
			Delay: time.Duration(delay) * ms, Max: max(config.Unlimited, most), Window: time.Duration(window) * ms,
			Factor: factor, MaxDelay: time.Duration(cap) * ms,
		}
		var h History
		var all []time.Duration // moments of all restarts
		healed := 0             // how many lie before the last healthy run
		now := time.Duration(0)
		for _, run := range runs {
			ran := time.Duration(run) * 10 * ms
			if run == 255 {
				ran = DefaultHealthyRun
			}
			now += ran
			if p.Window > 0 && ran >= p.Window || p.Window == 0 && ran >= DefaultHealthyRun {
				healed = len(all)
			}
			inWindow := func(from int) (n int) {
				for _, at := range all[from:] {
					if p.Window == 0 || at > now-p.Window {
						n++
					}
				}
				return n
			}
			var d Decision
			d, h = Decide(p, h, now, ran)
			full := p.Max != config.Unlimited && inWindow(0) >= p.Max
			if d.GiveUp != full {
				t.Fatalf("give up %v with %d restarts in the window of %+v", d.GiveUp, inWindow(0), p)
			}
			if full {
				return
			}
			exact := float64(p.Delay) * math.Pow(p.Factor, float64(inWindow(healed)))
			if p.MaxDelay > 0 {
				exact = min(exact, float64(p.MaxDelay))
			}
			if exact < 1e15 && math.Abs(float64(d.Delay)-exact) > 1+exact*1e-9 {
				t.Fatalf("delay %s, want %s by %+v", d.Delay, time.Duration(exact), p)
			}
			if d.Delay > 1e15 {
				return
			}
			all = append(all, now)
			now += d.Delay
		}
	})
}
