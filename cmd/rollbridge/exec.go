package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
)

// execCommand is what units and the daemon put in front of a managed command.
// It is not for people, so it is not among the commands that help lists.
func execCommand() *command {
	var ended, scope bool
	return &command{
		name:     "exec",
		synopsis: "[options] ID",
		long: `Stands in front of the command of a managed process: waits as its restart policy says and becomes the command.
Started by systemd and by the daemon, never by hand.`,
		example:   "systemctl cat 'rollbridge-*.service'",
		arguments: 1,
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&ended, "ended", false, "note how the command ended")
			f.BoolVar(&scope, "scope", false, "wait for the daemon on descriptor 3, then become the command")
		},
		run: func(ctx context.Context, e *env, args []string) error {
			const hint = "rollbridge exec is started by systemd; rollbridge help lists what is for people"
			if len(args) == 0 {
				return usageFault("missing argument 'ID'", hint)
			}
			if e.Getenv(gate.DirVariable) == "" {
				return usageFault(gate.DirVariable+" is not set", hint)
			}
			g := gate.Gate{
				Dir:        gate.Dir(e.Getenv(gate.DirVariable)),
				Manager:    manager{},
				Notify:     e.Getenv("NOTIFY_SOCKET"),
				Invocation: e.Getenv("INVOCATION_ID"),
				Stderr:     e.Stderr,
			}
			switch {
			case ended:
				return g.Ended(args[0], outcome(e))
			case scope:
				return g.Shim(args[0])
			}
			return g.Run(ctx, args[0])
		},
	}
}

// outcome is what systemd tells ExecStopPost=.
func outcome(e *env) gate.Outcome {
	return gate.Outcome{Result: e.Getenv("SERVICE_RESULT"), Code: e.Getenv("EXIT_CODE"), Status: e.Getenv("EXIT_STATUS")}
}

// manager is the service manager a gate runs under: that of the system for
// root, else the user's own.
type manager struct{}

// NRestarts asks one question; most gates have none.
func (manager) NRestarts(ctx context.Context, unit string) (uint32, error) {
	state, err := systemd.ReadUnit(ctx, ownManager(), unit)
	return state.NRestarts, err
}

// ForgetStarts is needed after a start by hand only.
func (manager) ForgetStarts(ctx context.Context, unit string) error {
	return systemd.ResetUnit(ctx, ownManager(), unit)
}

func ownManager() systemd.Options { return systemd.Options{User: os.Geteuid() != 0} }
