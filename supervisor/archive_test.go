package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/runner"
)

// fakeArchive is what an archive has, and what it was asked for.
type fakeArchive struct {
	events []Event
	err    error
	asked  int
	logs   []ProcessLogs
}

func (a *fakeArchive) Events(_ context.Context, limit int, since time.Time) ([]Event, error) {
	a.asked++
	var found []Event
	for _, e := range a.events {
		if since.IsZero() || e.At >= timestamp(since) {
			found = append(found, e)
		}
	}
	return newest(found, limit), a.err
}

func (a *fakeArchive) Logs(context.Context, LogsArgs) ([]ProcessLogs, error) { return a.logs, a.err }

// told is the messages of events, as the command tells them.
func told(t *testing.T, w *world, args EventsArgs) string {
	t.Helper()
	result, err := w.Events(t.Context(), args, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range result.Events {
		all = append(all, e.Message)
	}
	return strings.Join(all, " ")
}

func TestEventsOfEarlierDaemonsComeBeforeThoseOfThisOne(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		began := time.Now()
		at := func(after time.Duration, message string) Event {
			return Event{At: timestamp(began.Add(after)), Message: message, Data: map[string]any{"n": 1.0}}
		}
		archive := &fakeArchive{events: []Event{at(-2*time.Hour, "old"), at(-time.Minute, "earlier")}}
		w.opt.Archive = archive
		if got := told(t, w, EventsArgs{}); got != "old earlier" {
			t.Error(got)
		}
		time.Sleep(time.Second)
		w.Note("a", map[string]any{"n": 1})
		w.Note("b", nil)

		// The newest event has not reached the archive yet.
		archive.events = append(archive.events, at(time.Second, "a"))
		for want, args := range map[string]EventsArgs{
			"old earlier a b": {},
			"b":               {Limit: 1.0},
			"a b":             {Limit: 2.0},
			"earlier a b":     {Limit: 3.0},
			"earlier a b ":    {Since: timestamp(began.Add(-time.Hour))},
		} {
			if got := told(t, w, args); got != strings.TrimSpace(want) {
				t.Errorf("%+v: %s", args, got)
			}
		}

		// Not even the oldest one has.
		archive.events = archive.events[:2]
		if got := told(t, w, EventsArgs{}); got != "old earlier a b" {
			t.Error(got)
		}
		archive.err = errors.New("not allowed")
		if got := told(t, w, EventsArgs{}); got != "a b" {
			t.Errorf("without the archive: %s", got)
		}

		// What this daemon has in its list needs no archive.
		archive.asked = 0
		if got := told(t, w, EventsArgs{Since: timestamp(began.Add(500 * time.Millisecond))}); got != "a b" || archive.asked != 0 {
			t.Errorf("%s, the archive was asked %d times", got, archive.asked)
		}
	})
}

func TestEventsFoundOutLaterAreNotTakenForOlderOnes(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		long := time.Now().Add(-time.Hour)
		w.opt.Archive = &fakeArchive{events: []Event{
			{At: timestamp(time.Now().Add(-time.Minute)), Message: "earlier", Data: map[string]any{}},
			{At: timestamp(long), Message: "process exited", Data: map[string]any{}},
			{At: timestamp(time.Now()), Message: "daemon started", Data: map[string]any{}},
		}}
		w.events.note(long, "process exited", nil)
		w.Note("daemon started", nil)
		if got := told(t, w, EventsArgs{}); got != "earlier process exited daemon started" {
			t.Error(got)
		}
	})
}

func TestSinceIsATime(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		for _, since := range []string{"10m", "today", "2026-11-24"} {
			_, err := w.Events(t.Context(), EventsArgs{Since: since}, nil)
			contains(t, describe(err).Message, "since is not a time: "+since)
			_, err = w.Logs(t.Context(), LogsArgs{Since: since}, nil)
			contains(t, describe(err).Message, "since is not a time: "+since)
		}
	})
}

func TestLogsOfAForgottenReleaseComeFromTheArchive(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v2")
		w.opt.Archive = &fakeArchive{logs: []ProcessLogs{{ID: "web", Source: "release v1"}}}
		for want, args := range map[string]LogsArgs{
			"release v1":          {Release: "v1"},
			"release v2 (active)": {Release: "v2", ProcessID: "web"},
		} {
			result, err := w.Logs(t.Context(), args, nil)
			if err != nil || result.Processes[0].Source != want {
				t.Errorf("%+v: %+v, %v", args, result, err)
			}
		}
	})
}

func TestStatusPutsLinesToTheirProcess(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.mustDeploy("v2")
		w.runner.mu.Lock()
		for _, p := range w.runner.processes {
			p.mu.Lock()
			p.lines = []runner.Line{{Text: p.spec.Instance + "@" + p.spec.Release}}
			p.mu.Unlock()
		}
		w.runner.mu.Unlock()
		st := w.status()
		seen := 0
		check := func(release string, p ProcessStatus) {
			seen++
			if len(p.Logs) != 1 || p.Logs[0].Line != p.ID+"@"+release {
				t.Errorf("%s of %s has the lines %v", p.ID, release, p.Logs)
			}
		}
		for _, r := range st.Releases {
			for _, p := range r.Processes {
				check(r.ReleaseID, p)
			}
		}
		for _, owned := range append(st.Services, st.Singletons...) {
			check("v2", owned.Process)
		}
		if seen != 8 {
			t.Errorf("%d processes", seen)
		}
		without, err := w.Status(t.Context(), StatusArgs{WithoutLogs: true}, nil)
		if err != nil || without.Releases[0].Processes[0].Logs == nil || len(without.Releases[0].Processes[0].Logs) != 0 {
			t.Errorf("%+v, %v", without.Releases[0].Processes[0].Logs, err)
		}
	})
}
