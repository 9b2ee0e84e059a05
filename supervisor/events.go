package supervisor

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"rollbridge/socket/control"
)

// Events tells what happened; with args.Follow it goes on as things happen,
// until the client leaves.
func (s *Supervisor) Events(ctx context.Context, args EventsArgs, progress func(any)) (EventsResult, error) {
	limit, since, err := args.Bounds()
	if err != nil {
		return EventsResult{}, err
	}
	kept, next, changed := s.events.since(0)
	events := s.past(ctx, kept, limit, since)
	if !args.Follow {
		return EventsResult{events}, nil
	}
	for {
		for _, event := range events {
			progress(event)
		}
		select {
		case <-changed:
		case <-control.Gone(ctx):
			return EventsResult{Events: []Event{}}, nil
		}
		events, next, changed = s.events.since(next)
	}
}

// Bounds are how many events are asked for at most, and since when.
func (args EventsArgs) Bounds() (limit int, since time.Time, err error) {
	since, err = parseSince(args.Since)
	switch n, _ := args.Limit.(float64); {
	case n > 0: // rounded up, as clients of the original expect: 2.5 shows three
		limit = int(math.Ceil(min(n, maxArchived)))
	case since.IsZero():
		limit = maxEvents
	default:
		limit = maxArchived
	}
	return limit, since, err
}

// past is the newest events that happened since: those that are kept, which are
// at hand at once, and before them those of the archive. An archive that cannot
// be read has none.
func (s *Supervisor) past(ctx context.Context, kept []Event, limit int, since time.Time) []Event {
	all := len(kept)
	kept = notBefore(kept, since)
	complete := since.After(s.started) && (all < maxEvents || len(kept) < all)
	if s.opt.Archive == nil || complete || len(kept) >= limit {
		return newest(kept, limit)
	}
	archived, err := s.opt.Archive.Events(ctx, limit, since)
	if err != nil {
		return newest(kept, limit)
	}
	return newest(append(olderThan(notBefore(archived, since), kept), kept...), limit)
}

// notBefore leaves out events that happened before a time.
func notBefore(events []Event, since time.Time) []Event {
	if since.IsZero() {
		return events
	}
	first := timestamp(since)
	return slices.DeleteFunc(events, func(e Event) bool { return e.At < first })
}

// olderThan leaves out of an archive what is kept, too: all from the oldest kept
// event on. When that has not reached the archive yet, its time has to do.
func olderThan(archived, kept []Event) []Event {
	if len(kept) == 0 {
		return archived
	}
	oldest := kept[0]
	for i, e := range slices.Backward(archived) {
		if e.equal(oldest) {
			return archived[:i]
		}
	}
	return slices.DeleteFunc(archived, func(e Event) bool { return e.At >= oldest.At })
}

// equal compares what is told about events.
func (e Event) equal(other Event) bool {
	if e.At != other.At || e.Message != other.Message {
		return false
	}
	a, _ := json.Marshal(e.Data)
	b, _ := json.Marshal(other.Data)
	return string(a) == string(b)
}

// parseSince reads the time in the arguments of a command; "" is the zero time.
func parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, &control.Error{
			Code: "invalid", Message: "since is not a time: " + text,
			Hint: "write it as RFC 3339 says, for example 2026-11-24T10:00:00Z",
		}
	}
	return at, nil
}

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
