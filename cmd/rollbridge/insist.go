package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"rollbridge/socket/control"
)

// How long a command waits for the next daemon while the present one is being
// restarted, which ends what it serves first, and how often it looks.
const (
	comebackTime  = 2 * time.Minute
	comebackPulse = 200 * time.Millisecond
)

// insist is call, but a daemon that is being restarted, and so has begun nothing,
// is waited out, and the next one asked. That is bounded by the time-out of the
// command, if it has one.
func insist[R any](ctx context.Context, e *env, r *remote, p *progress, command string, args any) (R, json.RawMessage, error) {
	result, raw, err := call[R](ctx, r, command, args, p.handler())
	if !restarting(err) {
		return result, raw, err
	}
	p.say(e, "The daemon is being restarted; waiting for the next one.")
	refused := err
	next, end := *r, time.Now().Add(cmp.Or(r.timeout, comebackTime))
	for restarting(err) || absent(err) {
		left := time.Until(end)
		if left <= comebackPulse || !sleep(ctx, comebackPulse) {
			return result, nil, refused
		}
		if r.timeout > 0 {
			next.timeout = left - comebackPulse
		}
		result, raw, err = call[R](ctx, &next, command, args, p.handler())
	}
	return result, raw, err
}

// restarting reports whether a daemon has refused a command because another one
// will take its place.
func restarting(err error) bool {
	var said *control.Error
	return errors.As(err, &said) && said.Code == "restarting"
}
