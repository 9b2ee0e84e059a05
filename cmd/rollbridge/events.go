package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func eventsCommand() *command {
	var t target
	var args supervisor.EventsArgs
	var limit int
	var asJSON bool
	return &command{
		name:     "events",
		synopsis: "[options]",
		short:    "Show what happened: deploys, exits, restarts",
		long: `Shows the last events, oldest first: who deployed, what was started, what ended
and why. With --follow it goes on with every new one until Ctrl-C; with --json
that is one object per line.

Under systemd events are in the journal, too: they outlive the daemon, and are
read from there when none runs.`,
		example: "rollbridge events --limit 20",
		flags: func(f *pflag.FlagSet) {
			f.Var(moment{"since", time.Now, &args.Since}, "since", sinceUsage)
			f.VarP(count{"limit", &limit}, "limit", "n", "<number> how many events (default: the last 1000; with --since all)")
			f.BoolVarP(&args.Follow, "follow", "f", false, "go on with new events")
			f.BoolVar(&asJSON, "json", false, "print JSON")
			t.flags(f, quick)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			args.Limit = float64(limit)
			r, err := t.reach(e, format{})
			if err != nil {
				return err
			}
			if args.Follow {
				return e.followEvents(ctx, r, args, e.eventPrinter(asJSON))
			}
			result, err := e.fetchEvents(ctx, r, args)
			if err != nil {
				return err
			}
			if asJSON {
				return e.printJSON(result.array())
			}
			return e.writeEvents(result.Events)
		},
	}
}

// fetchEvents asks the daemon, or without one the journal.
func (e *env) fetchEvents(ctx context.Context, r *remote, args supervisor.EventsArgs) (rawEvents, error) {
	result, _, err := call[rawEvents](ctx, r, "events", args, nil)
	if o := r.offline(e, err); o != nil {
		return o.events(ctx, args)
	}
	return result, err
}

func (e *env) followEvents(ctx context.Context, r *remote, args supervisor.EventsArgs, print func(json.RawMessage) error) error {
	err := r.follow(ctx, "events", args, print)
	if o := r.offline(e, err); o != nil {
		return o.followEvents(ctx, args, print)
	}
	return err
}

// rawEvents keeps the events as the daemon sent them.
type rawEvents struct {
	Events []json.RawMessage `json:"events"`
}

func (r rawEvents) array() json.RawMessage {
	var parts []string
	for _, event := range r.Events {
		parts = append(parts, string(event))
	}
	return json.RawMessage("[" + strings.Join(parts, ",") + "]")
}

func (e *env) writeEvents(events []json.RawMessage) error {
	if len(events) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No events recorded yet.")
		return err
	}
	for _, event := range events {
		if err := e.writeEvent(event); err != nil {
			return err
		}
	}
	return nil
}

// writeEvent writes one event on one line, its data as they came.
func (e *env) writeEvent(raw json.RawMessage) error {
	var event struct {
		At      string          `json:"at"`
		Data    json.RawMessage `json:"data"`
		Message string          `json:"message"`
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return err
	}
	data := ""
	if text := string(event.Data); text != "" && text != "{}" && text != "null" {
		data = " " + e.Stdout.dim(text)
	}
	_, err := fmt.Fprintf(e.Stdout, "%s  %s%s\n", e.Stdout.dim(event.At), printable(event.Message), data)
	return err
}

func (e *env) eventPrinter(asJSON bool) func(json.RawMessage) error {
	if asJSON {
		return e.printLine
	}
	return e.writeEvent
}
