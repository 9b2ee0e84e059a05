package main

import (
	"context"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func rollbackCommand() *command {
	var t target
	var o format
	var args supervisor.RollbackArgs
	var progress bool
	return &command{
		name:     "rollback",
		synopsis: "[options]",
		short:    "Move traffic back to an earlier release",
		long: `Deploys a release that is still listed again: the one given, or the one that was
active most recently. Done twice, it comes back to where it began.`,
		example: "rollbridge rollback",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&args.ReleaseID, "release-id", "", "<id> the release to go back to (default: the one before)")
			f.BoolVar(&args.Wait, "wait", false, "wait for the operation under way instead of being refused")
			f.BoolVar(&args.WaitDrained, "wait-drained", false, "answer only when the release left is stopped")
			f.BoolVar(&progress, "progress", false, "show the steps on stderr even when it is no terminal")
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			r, err := t.reach(e, o)
			if err != nil {
				return err
			}
			args.ConfigPath = r.config.File
			return e.switchRelease(ctx, r, o, progress, "rollback", args)
		},
	}
}
