package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
	"rollbridge/supervisor/systemd"
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
first. The answer comes when it is done, within shutdownTimeoutMs. A daemon that
systemd runs stays down: its sockets are closed, also when it did not run.`,
		example: "rollbridge shutdown",
		flags: func(f *pflag.FlagSet) {
			t.flags(f, 0)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			r, err := t.reach(e, o)
			if err != nil {
				return err
			}
			if _, asleep := r.service.asleep(ctx); asleep {
				return e.closeSockets(ctx, r.service, o)
			}
			return orderFrom(ctx, e, r, o, "shutdown", struct{}{}, func(supervisor.Message) error {
				_, err := fmt.Fprintln(e.Stdout, "The daemon and everything it ran have stopped.")
				return err
			})
		},
	}
}

// closeSockets shuts down what is left of a daemon that is stopped: the sockets
// that would start it.
func (e *env) closeSockets(ctx context.Context, s service, o format) error {
	err := s.stopSockets(ctx)
	if errors.Is(err, systemd.ErrDenied) {
		return complaint(fmt.Sprintf("%s does not run, but its sockets are open, and %s may not close them", s.Service, whoAmI()),
			"`sudo systemctl stop "+s.Proxy+"` does; until then a connection starts the daemon")
	}
	if err != nil {
		return failure(err, s.systemctl("stop "+s.Proxy)+" may tell more")
	}
	return e.print(o, json.RawMessage(`{"status":"success","message":"shutdown"}`), func() error {
		_, err := fmt.Fprintln(e.Stdout, "The daemon did not run; the sockets that would have started it are closed.")
		return err
	})
}

// stopSockets has systemd close the sockets.
func (s service) stopSockets(ctx context.Context) error {
	bus, err := systemd.Dial(ctx, systemd.Options{User: s.user})
	if err != nil {
		return err
	}
	defer bus.Close()
	return bus.StopInOrder(ctx, s.Proxy)
}
