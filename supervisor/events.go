package supervisor

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxEvents is how many events the list keeps.
const maxEvents = 1000

// eventLog is the list of what happened, and the way into the daemon's log: one
// note writes both, in one order.
type eventLog struct {
	log *slog.Logger

	mu      sync.Mutex
	events  []Event       // the newest maxEvents
	next    uint64        // number of the next event, counted from 0
	changed chan struct{} // closed at the next event
}

func newEventLog(log *slog.Logger) *eventLog {
	return &eventLog{log: log, changed: make(chan struct{})}
}

// note records an event that happened at that time. The caller gives data away.
func (l *eventLog) note(at time.Time, message string, data map[string]any) {
	if data == nil {
		data = map[string]any{}
	}
	attrs := make([]slog.Attr, 0, len(data))
	for _, key := range slices.Sorted(maps.Keys(data)) {
		attrs = append(attrs, slog.Any(key, data[key]))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, Event{At: timestamp(at), Data: data, Message: message})
	if len(l.events) > maxEvents {
		l.events = slices.Delete(l.events, 0, len(l.events)-maxEvents)
	}
	l.next++
	close(l.changed)
	l.changed = make(chan struct{})
	record := slog.NewRecord(at, slog.LevelInfo, message, 0)
	record.AddAttrs(attrs...)
	if ctx := context.Background(); l.log.Enabled(ctx, record.Level) {
		_ = l.log.Handler().Handle(ctx, record) // a log that cannot be written must not stop anything
	}
}

// since returns the kept events from number n on, the number to ask for next,
// and a channel that is closed when there are more.
func (l *eventLog) since(n uint64) ([]Event, uint64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.next - uint64(len(l.events))
	n = min(max(n, first), l.next)
	return slices.Clone(l.events[n-first:]), l.next, l.changed
}

// newest keeps the last n entries; an n that is not positive keeps all.
func newest[T any](entries []T, n int) []T {
	if n <= 0 {
		return entries
	}
	return entries[max(0, len(entries)-n):]
}

// timestamp is how times are written in answers, events and logs: UTC,
// RFC 3339 with milliseconds.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
