package runner

import (
	"context"
	"time"

	"rollbridge/supervisor/config"
)

// A memoryWatch measures what one instance of a process uses, from its start to
// its end. The settings are those of the newest definition: a changed limit holds
// from the next measurement on, and memory supervision that is added or taken
// away is so within the default interval.
type memoryWatch struct {
	// sample measures; an instance that just ends uses nothing.
	sample func() (bytes int64, children []Child, err error)
	// settings are nil while nothing is to be measured.
	settings func() *config.Memory
	// publish keeps the newest figures.
	publish func(bytes int64, children []Child)
	tell    func(message string, data map[string]any)

	warned bool
}

// exceeded measures, the first time after one interval, until the limit is
// exceeded: it tells so and answers true. False means that ctx ended first.
func (w *memoryWatch) exceeded(ctx context.Context) bool {
	for {
		if !sleep(ctx, interval(w.settings())) {
			return false
		}
		settings := w.settings()
		if settings == nil {
			w.publish(0, nil)
			w.warned = false
			continue
		}
		bytes, children, err := w.sample()
		if ctx.Err() != nil {
			return false // what was measured may have been anything
		}
		if err != nil {
			continue // measured again at the next time
		}
		w.publish(bytes, children)
		if bytes > settings.Limit {
			w.tell("memory limit exceeded", map[string]any{"limitBytes": settings.Limit, "rssBytes": bytes})
			return true
		}
		w.warn(settings.Warn, bytes)
	}
}

// warn tells when the use comes to lie above a threshold; 0 is none.
func (w *memoryWatch) warn(threshold, bytes int64) {
	above := threshold > 0 && bytes > threshold
	if above && !w.warned {
		w.tell("memory warning", map[string]any{"rssBytes": bytes, "warnBytes": threshold})
	}
	w.warned = above
}

// interval is the time between two measurements.
func interval(settings *config.Memory) time.Duration {
	if settings == nil {
		return config.DefaultMemoryCheckInterval
	}
	return settings.CheckInterval
}

// sleep reports whether it slept to its end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// memoryExceeded watches a run; the channel is closed when it uses too much.
// The end of ctx ends that.
func (t *task) memoryExceeded(ctx context.Context, r *run) <-chan struct{} {
	exceeded := make(chan struct{})
	watch := &memoryWatch{
		sample:   r.Memory,
		settings: func() *config.Memory { return t.Spec().Memory },
		publish:  func(bytes int64, children []Child) { t.noteMemory(r, bytes, children) },
		tell:     func(message string, data map[string]any) { t.tell(r.spec, message, data) },
	}
	go func() {
		if watch.exceeded(ctx) {
			close(exceeded)
		}
	}()
	return exceeded
}

// noteMemory keeps the figures of the running instance. It wakes nobody: they
// are of interest only to who looks anyway.
func (t *task) noteMemory(r *run, bytes int64, children []Child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == r && t.status.PID != 0 {
		t.status.RSSBytes, t.status.Children = bytes, children
	}
}

// endForMemory stops a run that uses too much, with its hooks. What follows is
// up to the restart policy.
func (t *task) endForMemory(l *life) {
	t.enter(l, Stopping)
	t.clear(l)
	t.enter(l, Failed)
}

// enter notes a state in which the command is not to be counted as running,
// unless a stop was asked for, which has its own.
func (t *task) enter(l *life, state State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.up = false
	if !l.asked {
		t.publishLocked(func(s *Status) { s.State = state })
	}
}
