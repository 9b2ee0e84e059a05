package main

import (
	"encoding/json"
	"testing"
	"time"

	"rollbridge/supervisor"
)

// walk shows a deploy, one step per second.
func walk(te *testEnv, p *progress) {
	steps := []supervisor.Progress{
		{Phase: "plan", Message: "release 42"},
		{Phase: "start", Message: "web on port 18001"},
		{Phase: "health", Message: "GET http://127.0.0.1:18001/ping \x1b[2J " + string(make([]byte, 100))},
		{Phase: "switch", Message: "traffic to 42"},
	}
	now := clock
	p.now = func() time.Time { return now }
	for i, step := range steps {
		raw, _ := json.Marshal(step)
		p.show(raw)
		now = now.Add(time.Duration(i+1) * time.Second)
		if i == 2 {
			p.say(te.env, "The deploy goes on.")
		}
	}
	p.show(json.RawMessage(`"a step of a newer daemon"`))
	now = now.Add(time.Minute)
	p.finish()
	p.finish()
}

func TestStepsAreShownWithTheTimeTheyTook(t *testing.T) {
	te := newTestEnv(t)
	te.onTerminal(80, false)
	walk(te, te.newProgress(false))
	compare(t, "testdata/progress.golden", te.err.String())
}

func TestStepsInALogAreWholeLines(t *testing.T) {
	te := newTestEnv(t)
	walk(te, te.newProgress(true))
	compare(t, "testdata/progress-plain.golden", te.err.String())
}

func TestStepsAreShownToNobodyUnlessAsked(t *testing.T) {
	te := newTestEnv(t)
	p := te.newProgress(false)
	if p.handler() != nil {
		t.Error("steps are asked for")
	}
	p.say(te.env, "text")
	p.finish()
	if te.err.String() != "text\n" {
		t.Errorf("%q", te.err.String())
	}
}

func TestNarrowTerminalsShowSteps(t *testing.T) {
	for width := 1; width < 30; width++ {
		te := newTestEnv(t)
		te.onTerminal(width, false)
		walk(te, te.newProgress(false))
	}
}
