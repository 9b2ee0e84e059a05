package gate

import (
	"slices"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/restart"
)

const ms = time.Millisecond

func TestWhyAGateRuns(t *testing.T) {
	deploy := Token{1, "deploy"}
	for _, test := range []struct {
		name        string
		token       Token
		last        Record
		nRestarts   uint32
		want        string
		wantSerial  int
		wantCounted uint32
	}{
		{"first start", deploy, Record{}, 0, "deploy", 1, 0},
		{"crash", deploy, Record{Serial: 1}, 1, "crash", 1, 1},
		{"third crash", deploy, Record{Serial: 1, NRestarts: 2}, 3, "crash", 1, 3},
		{"restarted by hand after crashes", deploy, Record{Serial: 1, NRestarts: 2}, 0, "manual", 1, 0},
		{"restarted by hand during systemd's wait, which 252 counts on", deploy, Record{Serial: 1, NRestarts: 2}, 2, "manual", 1, 2},
		{"token", Token{2, "memory"}, Record{Serial: 1, NRestarts: 1}, 1, "memory", 2, 0},
		{"token of before the log", Token{1, "manual"}, Record{Serial: 4}, 1, "crash", 4, 1},
		{"no token ever", Token{}, Record{}, 0, "manual", 0, 0},
	} {
		def := Definition{Start: test.token}
		c, ok := asked(def, test.last)
		if !ok {
			c = unasked(test.last, test.nRestarts)
		}
		if c.reason != test.want || c.serial != test.wantSerial || c.nRestarts != test.wantCounted {
			t.Errorf("%s: %+v", test.name, c)
		}
	}
}

func TestASilentManagerMeansAnAutomaticRestart(t *testing.T) {
	c := unknown(Record{Serial: 3, NRestarts: 2})
	if c != (cause{crash, 3, 2}) {
		t.Errorf("%+v", c)
	}
	// Whatever it had counted meanwhile, the next crash is seen.
	if c := unasked(Record{NRestarts: c.nRestarts}, 4); c.reason != crash {
		t.Errorf("%+v", c)
	}
}

func TestDecideAboutAStart(t *testing.T) {
	def := Definition{Spec: config.Spec{Restart: config.Restart{Delay: 100 * ms, Max: 3, Factor: 2}}}
	two := restart.History{Restarts: []time.Duration{1, 2}}
	three := restart.History{Restarts: []time.Duration{1, 2, 3}}
	now := time.Hour
	for _, test := range []struct {
		name    string
		reason  string
		last    Record
		giveUp  bool
		due     time.Duration
		history int
	}{
		{"deploy", "deploy", Record{Kind: Exited, History: three}, false, now, 0},
		{"by hand", manual, Record{Kind: GaveUp, History: three}, false, now, 0},
		{"crash", crash, Record{Kind: Exited, Boot: now - 30*ms}, false, now + 70*ms, 1},
		{"third", crash, Record{Kind: Exited, Boot: now - 30*ms, History: two}, false, now + 370*ms, 3},
		{"systemd has waited already", crash, Record{Kind: Exited, Boot: now - time.Second, History: two}, false, now - 600*ms, 3},
		{"used up", crash, Record{Kind: Exited, Boot: now, History: three}, true, 0, 3},
		{"start failed", crash, Record{Kind: Failed, Boot: now - 30*ms, Ran: time.Hour, History: two}, false, now + 370*ms, 3},
		{"the gate itself was killed", crash, Record{Kind: Waiting, Boot: now - 30*ms, History: two}, false, now + 400*ms, 3},
		{"memory waits and counts", memory, Record{Kind: Exited, Boot: now, History: two}, false, now + 400*ms, 3},
		{"memory used up", memory, Record{Kind: Exited, Boot: now, History: three}, true, 0, 3},
		{"record of another boot", crash, Record{Kind: Exited, Boot: now + time.Minute, History: three}, false, now, 0},
		{"healthy for long", crash, Record{Kind: Exited, Boot: now, Ran: restart.DefaultHealthyRun, History: two}, false, now + 100*ms, 3},
	} {
		p := decide(def, test.last, cause{reason: test.reason}, now)
		if p.giveUp != test.giveUp || !p.giveUp && p.due != test.due || len(p.state.History.Restarts) != test.history {
			t.Errorf("%s: give up %v, due %s, %d in the history", test.name, p.giveUp, p.due-now, len(p.state.History.Restarts))
		}
	}
}

func TestARestartIsCountedByItsReason(t *testing.T) {
	r := Record{Restarts: 4, MemoryRestarts: 2}
	for reason, want := range map[string][]int{crash: {5, 2}, memory: {4, 3}, manual: {4, 2}, "deploy": {4, 2}} {
		got := r.begun(reason)
		if got.Reason != reason || !slices.Equal([]int{got.Restarts, got.MemoryRestarts}, want) {
			t.Errorf("%s: %+v", reason, got)
		}
	}
}

func TestTheLongestDelayDoesNotOverflow(t *testing.T) {
	if got := later(time.Hour, 1<<63-1); got != 1<<63-1 {
		t.Error(got)
	}
}

func TestTheOutcomeOfACommandIsRead(t *testing.T) {
	for o, want := range map[Outcome]exit{
		{"success", "exited", "0"}:           {result: "success"},
		{"exit-code", "exited", "203"}:       {code: 203, result: "exit-code"},
		{"signal", "killed", "SEGV"}:         {signal: 11, result: "signal"},
		{"core-dump", "dumped", "ABRT"}:      {signal: 6, result: "core-dump"},
		{"oom-kill", "killed", "KILL"}:       {signal: 9, result: "oom-kill"},
		{"signal", "killed", "RTMIN+28"}:     {signal: 62, result: "signal"},
		{"signal", "killed", "RTMIN"}:        {signal: 34, result: "signal"},
		{"signal", "killed", "RTMAX-2"}:      {signal: 62, result: "signal"},
		{"signal", "killed", "RTMAX"}:        {signal: 64, result: "signal"},
		{"signal", "killed", "33"}:           {signal: 33, result: "signal"},
		{"signal", "killed", "RTMIN+31"}:     {unseen: true, result: "signal"},
		{"signal", "killed", "NONE"}:         {unseen: true, result: "signal"},
		{"exit-code", "exited", "EXCEPTION"}: {unseen: true, result: "exit-code"},
		{}:                                   {unseen: true},
	} {
		if got := o.exit(); got != want {
			t.Errorf("%+v: %+v", o, got)
		}
	}
}

func TestARecordIsBackdatedToAfterTheOneBefore(t *testing.T) {
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	r := Record{At: at, Boot: time.Hour, Ran: 50 * ms}
	for boot, early := range map[time.Duration]time.Duration{time.Hour - 20*ms: 20 * ms, time.Minute: 50 * ms, time.Hour + ms: 0} {
		got := r.backdated(boot)
		if got.Boot != time.Hour-early || got.Ran != 50*ms-early || !got.At.Equal(at.Add(-early)) {
			t.Errorf("to %s: %+v", boot, got)
		}
	}
}

func TestTheWaitIsTold(t *testing.T) {
	p := plan{state: Record{History: restart.History{Restarts: make([]time.Duration, 3)}}}
	if got := waitingStatus(config.Restart{Max: 5}, p, 820*ms); got != "restart 3 of 5 in 0.8 s" {
		t.Error(got)
	}
	if got := waitingStatus(config.Restart{Max: config.Unlimited}, p, 820*ms); got != "restart in 0.8 s" {
		t.Error(got)
	}
	if got := budget(config.Restart{Max: 5, Window: time.Minute}); got != "5 restarts in 1m0s" {
		t.Error(got)
	}
}
