package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func restartCommand() *command {
	var t target
	var o format
	var args supervisor.RestartArgs
	return &command{
		name:     "restart",
		synopsis: "[options]",
		short:    "Restart processes other than the web process",
		long: `Stops and starts companions of the active release, services and singletons, one
after the other, with a fresh restart budget. Without a selector all of them;
with both, those that match both. The web process is replaced by a deploy.`,
		example: "rollbridge restart --process worker",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&args.ProcessID, "process", "", "<id> one process, or one replica of it: worker, worker#0")
			f.Var(choice{"policy", []string{"companion", "singleton", "service"}, &args.Policy}, "policy", "<policy> processes of one policy: companion, singleton or service")
			f.BoolVar(&args.Wait, "wait", false, "wait for the operation under way instead of being refused")
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			return order(ctx, e, t, o, "restart", args, func(r supervisor.RestartResult) error { return writeRestarted(e.Stdout, r) })
		},
	}
}

func writeRestarted(w io.Writer, r supervisor.RestartResult) error {
	if len(r.Restarted) == 0 {
		_, err := fmt.Fprintln(w, "Nothing to restart.")
		return err
	}
	_, err := fmt.Fprintln(w, "restarted:", printable(strings.Join(r.Restarted, ", ")))
	return err
}
