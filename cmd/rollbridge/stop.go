package main

import (
	"context"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func stopCommand() *command {
	var t target
	var o format
	var args supervisor.StopArgs
	return &command{
		name:     "stop",
		synopsis: "[options]",
		short:    "Stop a release, after it has served what it has",
		long: `Takes the release out of traffic, lets open requests end within the drain time,
and stops its processes. Services and singletons go on, and so does the daemon.
Without an active release the proxy answers 503.`,
		example: "rollbridge stop --release-id 41",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&args.ReleaseID, "release-id", "", "<id> the release to stop (default: the active one)")
			f.BoolVar(&args.Now, "now", false, "do not wait for open requests")
			f.BoolVar(&args.Wait, "wait", false, "wait for the operation under way instead of being refused")
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			return order(ctx, e, t, o, "stop", args, e.writeStatus)
		},
	}
}
