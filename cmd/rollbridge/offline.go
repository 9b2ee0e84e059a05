package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
)

// offline is the journal, when a command that asks about the past found no
// daemon, but a daemon on this machine would have used systemd and left traces
// there; else nil.
func (r *remote) offline(e *env, err error) *offline {
	var f *fault
	if !errors.As(err, &f) || f.code != exitNoDaemon || e.Getenv("ROLLBRIDGE_RUNNER") == "direct" || !systemd.Booted() {
		return nil
	}
	journal := systemd.OpenJournal()
	return &offline{
		JournalArchive: supervisor.NewJournalArchive(journal, cmp.Or(r.config.Application, config.PlacesOf(r.config.File, "").Name)),
		journal:        journal, env: e, noDaemon: f,
	}
}

// offline answers in place of a daemon.
type offline struct {
	*supervisor.JournalArchive
	journal  *systemd.Journal
	env      *env
	noDaemon *fault
}

// say says where the answer comes from.
func (o *offline) say() {
	fmt.Fprintln(o.env.Stderr, o.env.Stderr.dim("note:"), "no daemon is running; this is what the journal has"+o.limits())
}

// limits says what this user cannot see.
func (o *offline) limits() string {
	if o.journal.Readable() {
		return ""
	}
	return " that you may read: members of the group systemd-journal see all of it"
}

// nothing is the answer when the journal has nothing: that there is no daemon.
func (o *offline) nothing() error {
	f := *o.noDaemon
	if !o.journal.Readable() {
		f.hint += "; the journal may tell more to members of the group systemd-journal"
	}
	return &f
}

// logs answers the command logs.
func (o *offline) logs(ctx context.Context, args supervisor.LogsArgs) (supervisor.LogsResult, error) {
	processes, err := o.Logs(ctx, args)
	switch {
	case err != nil && !o.journal.Readable():
		return supervisor.LogsResult{}, o.nothing()
	case err != nil:
		return supervisor.LogsResult{}, err
	case len(processes) == 0:
		return supervisor.LogsResult{}, o.nothing()
	}
	o.say()
	return supervisor.LogsResult{Processes: processes}, nil
}

// followLogs follows the output of processes that have written before.
func (o *offline) followLogs(ctx context.Context, args supervisor.LogsArgs, print func(json.RawMessage) error) error {
	if _, err := o.logs(ctx, args); err != nil {
		return err
	}
	return o.FollowLogs(ctx, args, func(l supervisor.LogLine) error { return printValue(print, l) })
}

// events answers the command events.
func (o *offline) events(ctx context.Context, args supervisor.EventsArgs) (rawEvents, error) {
	limit, since, err := args.Bounds()
	if err != nil {
		return rawEvents{}, err
	}
	events, err := o.Events(ctx, limit, since)
	switch {
	case err != nil && !o.journal.Readable():
		return rawEvents{}, o.nothing()
	case err != nil:
		return rawEvents{}, err
	case len(events) == 0:
		return rawEvents{}, o.nothing()
	}
	o.say()
	var raw rawEvents
	for _, event := range events {
		text, err := marshal(event)
		if err != nil {
			return rawEvents{}, err
		}
		raw.Events = append(raw.Events, text)
	}
	return raw, nil
}

// followEvents follows the events of an application that has had some.
func (o *offline) followEvents(ctx context.Context, args supervisor.EventsArgs, print func(json.RawMessage) error) error {
	if _, err := o.events(ctx, supervisor.EventsArgs{Limit: 1.0}); err != nil {
		return err
	}
	limit, since, err := args.Bounds()
	if err != nil {
		return err
	}
	return o.FollowEvents(ctx, limit, since, func(e supervisor.Event) error { return printValue(print, e) })
}

func printValue(print func(json.RawMessage) error, v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	return print(text)
}
