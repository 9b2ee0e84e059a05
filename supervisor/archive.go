package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
	"rollbridge/supervisor/systemd"
)

// maxArchived is how many events of an archive are shown at once.
const maxArchived = 10_000

// An Archive knows what happened, and what was written, longer than a daemon
// lives. Its methods may be called concurrently.
type Archive interface {
	// Events are the newest events that were recorded since, oldest first.
	Events(ctx context.Context, limit int, since time.Time) ([]Event, error)
	// Logs is the output of processes, those too that nobody else knows any more.
	Logs(ctx context.Context, args LogsArgs) ([]ProcessLogs, error)
}

// JournalArchive is the journal as archive of one application. Anybody may write
// to the journal, so what it takes for an event must come from root or this
// user.
type JournalArchive struct {
	application string
	journal     *systemd.Journal
	lines       *runner.Journal
}

// NewJournalArchive returns the archive of an application.
func NewJournalArchive(journal *systemd.Journal, application string) *JournalArchive {
	return &JournalArchive{application: application, journal: journal, lines: runner.NewJournal(journal)}
}

// The fields that an event has in the journal.
const (
	FieldApplication = "ROLLBRIDGE_APPLICATION"
	FieldEvent       = "ROLLBRIDGE_EVENT" // the message of the event
	FieldAt          = "ROLLBRIDGE_AT"
	FieldData        = "ROLLBRIDGE_DATA" // as JSON
	FieldProcess     = "ROLLBRIDGE_PROCESS"
	FieldRelease     = "ROLLBRIDGE_RELEASE"
	// JournalIdentifier is the SYSLOG_IDENTIFIER of events.
	JournalIdentifier = "rollbridge"
)

// Events reads the events of all daemons of the application.
func (a *JournalArchive) Events(ctx context.Context, limit int, since time.Time) ([]Event, error) {
	entries, err := a.journal.Read(ctx, a.events(limit, since))
	if err != nil {
		return nil, err
	}
	events := make([]Event, len(entries))
	for i, e := range entries {
		events[i] = eventOf(e)
	}
	return events, nil
}

// FollowEvents tells those events and further ones, until ctx ends or tell
// returns an error, which is the answer.
func (a *JournalArchive) FollowEvents(ctx context.Context, limit int, since time.Time, tell func(Event) error) error {
	return a.journal.Follow(ctx, a.events(limit, since), func(e systemd.Entry) error { return tell(eventOf(e)) })
}

func (a *JournalArchive) events(limit int, since time.Time) systemd.Query {
	own := strconv.Itoa(os.Geteuid())
	return systemd.Query{
		Any: [][]systemd.Match{{
			{Field: "SYSLOG_IDENTIFIER", Value: JournalIdentifier},
			{Field: FieldApplication, Value: a.application},
			{Field: "_UID", Value: "0"}, {Field: "_UID", Value: own},
		}},
		Keep:   isEvent,
		Fields: []string{FieldEvent, FieldAt, FieldData},
		Limit:  limit,
		Since:  since,
	}
}

// isEvent leaves out what is not from a list of events, but from the log alone.
func isEvent(e systemd.Entry) bool {
	message := e.Field(FieldEvent)
	return message != "" && message != droppedLines
}

// droppedLines is what the log says of itself.
const droppedLines = "log lines dropped"

func eventOf(e systemd.Entry) Event {
	event := Event{At: e.Field(FieldAt), Message: e.Field(FieldEvent), Data: map[string]any{}}
	if event.At == "" {
		event.At = timestamp(e.Time)
	}
	if json.Unmarshal([]byte(e.Field(FieldData)), &event.Data) != nil || event.Data == nil {
		event.Data = map[string]any{}
	}
	return event
}

// Logs reads what was written by the processes that args asks for. Without a
// release or time, each process is shown in the release in which it has written
// last.
func (a *JournalArchive) Logs(ctx context.Context, args LogsArgs) ([]ProcessLogs, error) {
	w, err := args.window()
	if err != nil {
		return nil, err
	}
	if w.Lines == 0 && w.Since.IsZero() {
		w.Lines = config.DefaultOutputLines
	}
	written, err := a.written(ctx, args, w)
	if err != nil {
		return nil, err
	}
	if args.Release == "" && w.Since.IsZero() {
		written = newestOfEach(written)
	}
	all := []ProcessLogs{}
	for _, one := range written {
		all = append(all, ProcessLogs{ID: one.writer.Instance, Source: sourceOf(one.writer), Logs: logLines(one.lines)})
	}
	return all, nil
}

// written is what one writer has written.
type written struct {
	writer runner.Writer
	lines  []runner.Line
}

// newest is when its last line came.
func (w written) newest() time.Time { return w.lines[len(w.lines)-1].At }

// written reads the lines of all writers that args asks for and that have any.
func (a *JournalArchive) written(ctx context.Context, args LogsArgs, w runner.Window) ([]written, error) {
	writers, err := a.writers(ctx, args)
	if err != nil {
		return nil, err
	}
	all, errs := make([]written, len(writers)), make([]error, len(writers))
	var reading sync.WaitGroup
	for i, writer := range writers {
		reading.Go(func() {
			all[i].writer = writer
			all[i].lines, errs[i] = a.lines.Tail(ctx, []runner.Writer{writer}, w)
		})
	}
	reading.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(w written) bool { return len(w.lines) == 0 }), nil
}

// newestOfEach keeps one of each process.
func newestOfEach(all []written) []written {
	last := map[string]time.Time{}
	for _, w := range all {
		if w.newest().After(last[w.writer.Instance]) {
			last[w.writer.Instance] = w.newest()
		}
	}
	return slices.DeleteFunc(all, func(w written) bool { return w.newest().Before(last[w.writer.Instance]) })
}

// FollowLogs tells the lines that Logs would show of the writers there are now,
// mixed as they came, and further ones, until ctx ends or tell returns an error,
// which is the answer.
func (a *JournalArchive) FollowLogs(ctx context.Context, args LogsArgs, tell func(LogLine) error) error {
	w, err := args.window()
	if err != nil {
		return err
	}
	if w.Lines == 0 && w.Since.IsZero() {
		w.Lines = config.DefaultOutputLines
	}
	writers, err := a.writers(ctx, args)
	if err != nil {
		return err
	}
	return a.lines.FollowWriters(ctx, writers, w, func(by runner.Writer, l runner.Line) error {
		line := logLine(l)
		line.ID, line.Source = by.Instance, sourceOf(by)
		return tell(line)
	})
}

// writers are those that args asks for.
func (a *JournalArchive) writers(ctx context.Context, args LogsArgs) ([]runner.Writer, error) {
	all, err := a.lines.Writers(ctx, a.application)
	return slices.DeleteFunc(all, func(w runner.Writer) bool {
		return args.Release != "" && args.Release != w.Release || !args.wants(w.Instance)
	}), err
}

func sourceOf(w runner.Writer) string {
	if w.Generation > 1 {
		return fmt.Sprintf("release %s, generation %d", w.Release, w.Generation)
	}
	return "release " + w.Release
}
