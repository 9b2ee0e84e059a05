package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rollbridge/supervisor/systemd"
)

// ensureService is ensure for a daemon that systemd runs, and that starter starts
// unless that cannot be used.
func (r *remote) ensureService(ctx context.Context, e *env, o startOptions, starter string, unusable error) (json.RawMessage, error) {
	if o.log != "" || o.pid != "" {
		fmt.Fprintf(e.Stderr, "%s --daemon-log-path and --daemon-pid-path have no effect: systemd runs the daemon, and has its log: `journalctl -u %s`\n",
			e.Stderr.dim("note:"), r.service.Service)
	}
	limit := time.Duration(o.timeoutMs) * time.Millisecond
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	raw, err := r.checked(ctx, e) // wakes nobody
	if !absent(err) {
		return raw, err
	}
	if unusable != nil {
		return nil, unusable
	}
	err = r.service.start(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, complaint(fmt.Sprintf("Rollbridge daemon did not become ready within %dms.", limit.Milliseconds()), r.service.systemctl("status "+r.service.Service)+" tells how far it is")
	case errors.Is(err, systemd.ErrDenied):
		return r.woken(ctx, e, starter)
	case err != nil:
		return nil, failure(fmt.Errorf("start %s: %w", r.service.Service, err), r.service.systemctl("status "+r.service.Service)+" tells why")
	}
	return r.checked(ctx, e)
}

// woken starts the daemon as anybody may who may give it commands: by connecting
// to its control socket, where systemd listens.
func (r *remote) woken(ctx context.Context, e *env, starter string) (json.RawMessage, error) {
	waking := *r
	waking.wake = true
	raw, err := waking.checked(ctx, e)
	if absent(err) {
		return nil, complaint(fmt.Sprintf("%s may not start %s, and no socket of it is open", whoAmI(), r.service.Service),
			"`sudo systemctl start "+starter+"` does; then who may use the control socket can give it commands")
	}
	return raw, err
}

// start has systemd start the daemon, and waits until it is ready.
func (s service) start(ctx context.Context) error {
	bus, err := systemd.Dial(ctx, systemd.Options{User: s.user})
	if err != nil {
		return err
	}
	defer bus.Close()
	return bus.Start(ctx, s.Service)
}
