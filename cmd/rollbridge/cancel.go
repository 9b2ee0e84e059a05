package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func cancelCommand() *command {
	var t target
	var o format
	return &command{
		name:     "cancel",
		synopsis: "[options]",
		short:    "Undo the deploy under way, if traffic has not moved",
		long: `Cancels the operation under way. A deploy or rollback that has not moved traffic
is undone; one that has is not touched.`,
		example: "rollbridge cancel",
		flags: func(f *pflag.FlagSet) {
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			r, err := t.reach(e, o)
			if err != nil {
				return err
			}
			result, raw, err := call[supervisor.CancelResult](ctx, r, "cancel", struct{}{}, nil)
			if err != nil {
				return err
			}
			return e.print(o, raw, func() error {
				_, err := fmt.Fprintln(e.Stdout, "cancelled:", printable(result.Cancelled))
				return err
			})
		},
	}
}
