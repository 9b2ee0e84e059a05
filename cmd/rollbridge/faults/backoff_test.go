package faults

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/restart"
)

// Not in parallel, and before all others: these tests measure time, and want the
// machine for themselves.

const ms = time.Millisecond

// How much longer than the policy's a measured pause may be: where the gate waits,
// and where systemd's timer does.
const (
	slack      = 60 * ms
	timerSlack = 300 * ms
)

// attempts is how often a pause may be measured as too long: anything may delay a
// process on a busy machine. It may never be too short.
const attempts = 6

// gaps is the pauses between the instances of a process.
func gaps(diary []entry) []time.Duration {
	starts, ends := pick(diary, "start", "worker"), pick(diary, "end", "worker")
	var gaps []time.Duration
	for i, start := range starts[1:] {
		gaps = append(gaps, start.at-ends[i].at)
	}
	return gaps
}

// measure runs a script of lives, in milliseconds, until the process is given up,
// and returns its diary. The first life ends when the deploy is over.
func measure(t *testing.T, name, runner, policy, script string) []entry {
	t.Helper()
	in := newInstance(t, name, web+`
  - {id: worker, command: "exec $APP script", `+policy+`}`)
	in.runWith(runner)
	in.startDaemon()
	in.deploy("v1", "script", script)
	in.awaitEntries(1, "start", "worker")
	if err := syscall.Kill(in.process("worker").PID, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	in.awaitProcess("worker", "is given up", func(p process) bool { return p.GaveUp })
	return in.diary()
}

// fastest keeps the shortest of several measurements of each pause.
type fastest []time.Duration

// add takes pauses in, and reports whether each has been measured as the wanted
// one, or longer by at most so much. A shorter one, or another number of them,
// fails the test.
func (f *fastest) add(t *testing.T, got, want []time.Duration, slack time.Duration) bool {
	t.Helper()
	t.Logf("%v", got)
	if len(got) != len(want) {
		t.Fatalf("pauses %v; want %v", got, want)
	}
	if *f == nil {
		*f = got
	}
	right := true
	for i := range want {
		if got[i] < want[i] {
			t.Errorf("pause %d of %v is shorter than %v", i, got, want[i])
		}
		(*f)[i] = min((*f)[i], got[i])
		right = right && (*f)[i] <= want[i]+slack
	}
	return right
}

func TestPausesAreThoseOfThePolicy(t *testing.T) {
	for _, test := range []struct {
		name, policy, script string
		want                 []time.Duration
		slack                time.Duration
	}{
		{"backoff", "restartDelayMs: 100, restart: {backoffFactor: 2, maxDelayMs: 1000, maxRestarts: 5}", "wait 0 0 0 0 0",
			[]time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms}, slack},
		{"timer", "restartDelayMs: 1000, restart: {backoffFactor: 1.5, maxRestarts: 2}", "wait 0 0",
			[]time.Duration{1000 * ms, 1500 * ms}, timerSlack},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f fastest
			for attempt := range attempts {
				name := fmt.Sprintf("gap%s%d", test.name, attempt)
				if f.add(t, gaps(measure(t, name, "systemd", test.policy, test.script)), test.want, test.slack) {
					return
				}
			}
			t.Errorf("%v at best: not within %v of %v", f, test.slack, test.want)
		})
	}
}

func TestGivenUpUnitHasFailed(t *testing.T) {
	in := start(t, "gaveup", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20, restart: {maxRestarts: 2}}`)
	in.deploy("v1")
	in.breakDown([]string{"worker"})
	got := properties(t, in.unit("worker.v1"), "ActiveState", "SubState")
	if got["ActiveState"] != "failed" || got["SubState"] != "failed" {
		t.Errorf("the unit is %v", got)
	}
}

func TestOneScriptHasTheSamePausesEverywhere(t *testing.T) {
	const script = "wait 0 0 4200 0 0 0 0" // the long one is a healthy run
	policy := config.Restart{Delay: 100 * ms, Max: 4, Window: 4 * time.Second, Factor: 2, MaxDelay: 400 * ms}
	const inWords = "restartDelayMs: 100, restart: {maxRestarts: 4, windowMs: 4000, backoffFactor: 2, maxDelayMs: 400}"
	for _, runner := range []string{"direct", "systemd"} {
		t.Run(runner, func(t *testing.T) {
			var f fastest
			for attempt := range attempts {
				diary := measure(t, fmt.Sprintf("one%s%d", runner, attempt), runner, inWords, script)
				if f.add(t, gaps(diary), decided(t, diary, policy), slack) {
					return
				}
			}
			t.Errorf("%v at best: not within %v", f, slack)
		})
	}
}

// decided is the pauses that the policy decides on for the lives in a diary.
func decided(t *testing.T, diary []entry, policy config.Restart) []time.Duration {
	t.Helper()
	starts, ends := pick(diary, "start", "worker"), pick(diary, "end", "worker")
	var h restart.History
	var delays []time.Duration
	for i, end := range ends {
		var d restart.Decision
		d, h = restart.Decide(policy, h, end.at, end.at-starts[i].at)
		if d.GiveUp != (i == len(ends)-1) {
			t.Fatalf("life %d of %v: the policy decides %+v", i, diary, d)
		}
		if !d.GiveUp {
			delays = append(delays, d.Delay)
		}
	}
	if want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 100 * ms, 200 * ms, 400 * ms, 400 * ms}; !slices.Equal(delays, want) {
		t.Fatalf("the policy decides %v; want %v", delays, want)
	}
	return delays
}

func TestUnitsShowTheirPolicy(t *testing.T) {
	in := start(t, "shown", web+`
  - {id: quick, command: "exec sleep infinity", restartDelayMs: 500, restart: {maxRestarts: 3, windowMs: 60000}}
  - {id: slow, command: "exec sleep infinity", restartDelayMs: 2000, restart: {maxRestarts: 3, windowMs: 60000}}
  - {id: never, command: "exec sleep infinity", restart: {maxRestarts: 0}}
  - {id: ever, command: "exec sleep infinity"}
  - {id: life, command: "exec sleep infinity", restartDelayMs: 0, restart: {maxRestarts: 7}}`)
	in.deploy("v1")
	for id, want := range map[string]map[string]string{
		"quick": {"Restart": "always", "RestartUSec": "0", "StartLimitBurst": "4", "StartLimitIntervalUSec": "1min"},
		"slow":  {"Restart": "always", "RestartUSec": "2s", "StartLimitBurst": "4", "StartLimitIntervalUSec": "1min"},
		"never": {"Restart": "no"},
		"ever":  {"Restart": "always", "RestartUSec": "1s", "StartLimitIntervalUSec": "0"},
		"life":  {"Restart": "always", "RestartUSec": "0", "StartLimitBurst": "8", "StartLimitIntervalUSec": "infinity"},
	} {
		got := properties(t, in.unit(id+".v1"), "Restart", "RestartUSec", "StartLimitBurst", "StartLimitIntervalUSec")
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s=%s; want %s", id, name, got[name], value)
			}
		}
	}
}
