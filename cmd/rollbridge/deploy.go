package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func deployCommand() *command {
	var t target
	var o format
	var args supervisor.DeployArgs
	var start startOptions
	var ensure, progress bool
	return &command{
		name:     "deploy",
		synopsis: "--release-path <path> [options]",
		short:    "Start a release and move traffic to it",
		long: `Starts the processes of a release, waits until its web process is healthy, moves
new requests to it and lets the previous release finish what it serves. When
anything fails before traffic moves, all of it is undone and the previous
release never notices.

On a terminal the steps are shown as they happen. The first Ctrl-C leaves the
deploy to the daemon, the second one cancels it if traffic has not moved.`,
		example:  "rollbridge deploy --release-path /srv/shop/releases/42 --revision 1f3a9c2",
		required: []string{"release-path"},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&args.ReleasePath, "release-path", "", "<path> directory of the release (required)")
			f.StringVar(&args.ReleaseID, "release-id", "", "<id> name of the release (default: the revision, else the time)")
			f.StringVar(&args.Revision, "revision", "", "<revision> revision of the code (default: the release id)")
			f.BoolVar(&args.Wait, "wait", false, "wait for the operation under way instead of being refused")
			f.BoolVar(&args.WaitDrained, "wait-drained", false, "answer only when the previous release is stopped")
			f.BoolVar(&progress, "progress", false, "show the steps on stderr even when it is no terminal")
			f.BoolVar(&ensure, "ensure-daemon", false, "start the daemon first when none is running")
			start.flags(f)
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			r, err := t.reach(e, o)
			if err != nil {
				return err
			}
			if ensure {
				if _, err := r.ensure(ctx, e, start); err != nil {
					return err
				}
			}
			args.ReleasePath = e.absolute(args.ReleasePath)
			args.ConfigPath = r.config.File
			if err := e.switchRelease(ctx, r, o, progress, "deploy", args); err != nil {
				return err
			}
			e.noteStaleUnits(r)
			return nil
		},
	}
}

// switchRelease runs deploy or rollback: shows its steps, minds Ctrl-C and
// prints the result.
func (e *env) switchRelease(ctx context.Context, r *remote, o format, forced bool, command string, args any) error {
	p := e.newProgress(forced)
	ignore := e.onInterrupt(r, p, command)
	result, raw, err := insist[supervisor.DeployResult](ctx, e, r, p, command, args)
	ignore()
	p.finish()
	if err != nil {
		return err
	}
	return e.print(o, raw, func() error { return e.writeSwitched(result) })
}

// writeSwitched tells people where traffic goes now.
func (e *env) writeSwitched(r supervisor.DeployResult) error {
	text := e.Stdout.green("active:") + " " + e.Stdout.bold(printable(r.ActiveReleaseID))
	if r.PreviousReleaseID != nil {
		text += " (before: " + printable(*r.PreviousReleaseID) + ")"
	}
	if _, err := fmt.Fprintln(e.Stdout, text); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(e.Stdout, "%s %s\n", e.Stdout.yellow("warning:"), printable(warningText(w)))
	}
	return nil
}

func warningText(w supervisor.Warning) string {
	if w.ProcessID == "" {
		return w.Message
	}
	return w.ProcessID + ": " + w.Message
}
