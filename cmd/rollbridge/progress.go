package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"rollbridge/supervisor"
)

// progress shows the steps of a running operation, each with the time it took.
// On a terminal the line of the running step stays open until the next begins.
// Its methods may be called concurrently.
type progress struct {
	screen *screen
	now    func() time.Time

	mu    sync.Mutex
	begun time.Time // of the first step
	step  time.Time // of the running one
	open  int       // columns written of an unfinished line
}

// newProgress returns nil, which shows nothing, when nobody would look.
func (e *env) newProgress(forced bool) *progress {
	if !forced && !e.Stderr.terminal {
		return nil
	}
	return &progress{screen: e.Stderr, now: e.Now, begun: e.Now()}
}

// handler is what a call is given: nil asks the daemon for no progress.
func (p *progress) handler() func(json.RawMessage) {
	if p == nil {
		return nil
	}
	return p.show
}

func (p *progress) show(raw json.RawMessage) {
	var step supervisor.Progress
	if json.Unmarshal(raw, &step) != nil {
		return // from a newer daemon; the answer is what counts
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	phase, message := printable(step.Phase), printable(step.Message)
	if !p.screen.terminal {
		fmt.Fprintf(p.screen, "%7s  %-10s  %s\n", elapsed(p.now().Sub(p.begun)), phase, message)
		return
	}
	p.finishLocked()
	line := cut(fmt.Sprintf("  %-10s  %s", phase, message), p.timeColumn()-1)
	p.step, p.open = p.now(), utf8.RuneCountInString(line)
	fmt.Fprint(p.screen, line)
}

// say writes a line between the steps.
func (p *progress) say(e *env, text string) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.finishLocked()
	}
	fmt.Fprintln(e.Stderr, text)
}

// finish ends the line of the last step.
func (p *progress) finish() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finishLocked()
}

func (p *progress) finishLocked() {
	if p.open == 0 {
		return
	}
	gap := max(1, p.timeColumn()-p.open)
	fmt.Fprintf(p.screen, "%*s%s\n", gap, "", p.screen.dim(fmt.Sprintf("%8s", elapsed(p.now().Sub(p.step)))))
	p.open = 0
}

// timeColumn is where the times stand.
func (p *progress) timeColumn() int { return min(p.screen.width, 100) - 12 }
