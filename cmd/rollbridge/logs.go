package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func logsCommand() *command {
	var t target
	var args supervisor.LogsArgs
	var asJSON bool
	return &command{
		name:     "logs",
		synopsis: "[options]",
		short:    "Show the last output of the processes",
		long: `Shows the last output of each process, oldest line first. With --follow it
goes on with every new line until Ctrl-C; with --json that is one object per
line.

Under systemd output is in the journal: it outlives processes and the daemon,
and is read from there when no daemon runs.`,
		example: "rollbridge logs --process worker --since 10m --follow",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&args.ProcessID, "process", "", "<id> one process, or one replica of it: worker, worker#0")
			f.StringVar(&args.Release, "release", "", "<id> one release")
			f.Var(moment{"since", time.Now, &args.Since}, "since", sinceUsage)
			f.VarP(count{"lines", &args.Lines}, "lines", "n", "<number> how many lines of each process (default: as outputLines says; with --since all)")
			f.BoolVarP(&args.Follow, "follow", "f", false, "go on with new lines")
			f.BoolVar(&asJSON, "json", false, "print JSON")
			t.flags(f, quick)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			r, err := t.reach(e, format{})
			if err != nil {
				return err
			}
			if args.Follow {
				return e.followLogs(ctx, r, args, e.logPrinter(asJSON))
			}
			result, err := e.fetchLogs(ctx, r, args)
			if err != nil {
				return err
			}
			if asJSON {
				return e.printLogsJSON(result)
			}
			return e.writeLogs(result, args)
		},
	}
}

// fetchLogs asks the daemon, or without one the journal.
func (e *env) fetchLogs(ctx context.Context, r *remote, args supervisor.LogsArgs) (supervisor.LogsResult, error) {
	result, _, err := call[supervisor.LogsResult](ctx, r, "logs", args, nil)
	if o := r.offline(e, err); o != nil {
		return o.logs(ctx, args)
	}
	return result, err
}

func (e *env) followLogs(ctx context.Context, r *remote, args supervisor.LogsArgs, print func(json.RawMessage) error) error {
	err := r.follow(ctx, "logs", args, print)
	if o := r.offline(e, err); o != nil {
		return o.followLogs(ctx, args, print)
	}
	return err
}

func (e *env) printLogsJSON(result supervisor.LogsResult) error {
	if result.Processes == nil {
		result.Processes = []supervisor.ProcessLogs{}
	}
	text, err := marshal(result.Processes)
	if err != nil {
		return err
	}
	return e.printJSON(text)
}

// writeLogs writes the kept output of each process below its name.
func (e *env) writeLogs(result supervisor.LogsResult, args supervisor.LogsArgs) error {
	if len(result.Processes) == 0 {
		_, err := fmt.Fprintln(e.Stdout, nothingFound(args))
		return err
	}
	for i, p := range result.Processes {
		if i > 0 {
			fmt.Fprintln(e.Stdout)
		}
		if err := e.writeProcessLogs(p); err != nil {
			return err
		}
	}
	return nil
}

func nothingFound(args supervisor.LogsArgs) string {
	switch {
	case args.ProcessID != "":
		return fmt.Sprintf("No process found with id %q.", args.ProcessID)
	case args.Release != "":
		return fmt.Sprintf("No release found with id %q.", args.Release)
	}
	return "No managed processes."
}

func (e *env) writeProcessLogs(p supervisor.ProcessLogs) error {
	s := e.Stdout
	_, err := fmt.Fprintln(s, s.bold(fmt.Sprintf("== %s [%s] ==", p.ID, p.Source)))
	if len(p.Logs) == 0 {
		_, err = fmt.Fprintln(s, "  (no recent output)")
	}
	for _, l := range p.Logs {
		_, err = fmt.Fprintf(s, "  %s %s %s\n", s.dim(l.At), s.streamTag(l.Stream), l.Line)
	}
	return err
}

func (s *screen) streamTag(stream string) string {
	if stream == "stderr" {
		return s.red("[stderr]")
	}
	return s.dim("[" + stream + "]")
}

// logPrinter prints streamed lines.
func (e *env) logPrinter(asJSON bool) func(json.RawMessage) error {
	if asJSON {
		return e.printLine
	}
	return func(raw json.RawMessage) error {
		var l supervisor.LogLine
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.Stdout, "%s %s %s %s\n", e.Stdout.dim(l.At), e.Stdout.bold(l.ID), e.Stdout.streamTag(l.Stream), l.Line)
		return err
	}
}

// printLine writes a JSON value on a line of its own.
func (e *env) printLine(raw json.RawMessage) error {
	_, err := io.WriteString(e.Stdout, string(raw)+"\n")
	return err
}
