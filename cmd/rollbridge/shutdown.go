package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func shutdownCommand() *command {
	var t target
	var o format
	return &command{
		name:     "shutdown",
		synopsis: "[options]",
		short:    "Stop everything, and the daemon",
		long: `Stops accepting, lets open requests end within the drain time, stops all
processes and ends the daemon. A deploy that has not moved traffic is undone
first. The answer comes when it is done, within shutdownTimeoutMs.`,
		example: "rollbridge shutdown",
		flags: func(f *pflag.FlagSet) {
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			return order(ctx, e, t, o, "shutdown", struct{}{}, func(supervisor.Message) error {
				_, err := fmt.Fprintln(e.Stdout, "The daemon and everything it ran have stopped.")
				return err
			})
		},
	}
}
