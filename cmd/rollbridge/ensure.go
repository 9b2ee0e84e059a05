package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func ensureDaemonCommand() *command {
	var t target
	var o format
	var start startOptions
	return &command{
		name:     "ensure-daemon",
		synopsis: "[options]",
		short:    "Start the daemon unless it runs",
		long: `Asks the daemon for its state and, when there is none, starts one in the
background and waits until it is ready. A daemon of another application, or of
another rollbridge program, is an error: it is left alone.`,
		example: "rollbridge ensure-daemon",
		flags: func(f *pflag.FlagSet) {
			start.flags(f)
			t.flags(f, quick)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			r, err := t.reach(e, o)
			if err != nil {
				return err
			}
			raw, err := r.ensure(ctx, e, start)
			if err != nil {
				return err
			}
			return e.print(o, raw, func() error {
				var st supervisor.StatusResult
				if err := json.Unmarshal(raw, &st); err != nil {
					return err
				}
				return e.writeStatus(st)
			})
		},
	}
}

// startOptions say how a daemon is started.
type startOptions struct {
	log, pid, runtime string
	timeoutMs         int
}

func (o *startOptions) flags(f *pflag.FlagSet) {
	o.timeoutMs = 10000
	f.StringVar(&o.log, "daemon-log-path", "", "<path> log of a daemon that is started (default: beside the control socket)")
	f.StringVar(&o.pid, "daemon-pid-path", "", "<path> file with its process id (default: beside the control socket)")
	f.StringVar(&o.runtime, "daemon-runtime-path", "", "<path> no effect: the program is one file, nothing is copied")
	f.Var(milliseconds{"daemon-start-timeout-ms", &o.timeoutMs}, "daemon-start-timeout-ms", "<number> milliseconds it may take to get ready (default 10000)")
}

// ensure returns the status of the daemon, which it starts when none is there.
func (r *remote) ensure(ctx context.Context, e *env, o startOptions) (json.RawMessage, error) {
	if o.runtime != "" {
		fmt.Fprintln(e.Stderr, "note: --daemon-runtime-path has no effect: the program is one file, nothing is copied")
	}
	raw, err := r.checked(ctx)
	if !absent(err) {
		return raw, err
	}
	return r.start(ctx, e, o)
}

// absent reports whether an error means that no daemon is there.
func absent(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.code == exitNoDaemon
}

// checked returns the status of the running daemon, provided that it is the
// right one: of this application, and this program.
func (r *remote) checked(ctx context.Context) (json.RawMessage, error) {
	brisk := *r
	if brisk.timeout == 0 {
		brisk.timeout = quick
	}
	st, raw, err := call[supervisor.StatusResult](ctx, &brisk, "status", struct{}{}, nil)
	if err != nil {
		return nil, err
	}
	if st.Application != r.config.Application {
		return nil, complaint(fmt.Sprintf("The Rollbridge daemon on %s runs application %q, not %q. The deploy was not sent.", r.socket, st.Application, r.config.Application),
			"give each application its own control.path and proxy.port")
	}
	own, err := thisRuntime()
	if err != nil {
		return nil, err
	}
	if st.DaemonRuntime.Digest != own.Digest {
		return nil, complaint(mismatch, "rollbridge shutdown, then try again; the release has to be deployed anew")
	}
	return raw, nil
}

const mismatch = "The running Rollbridge daemon has a legacy or mismatched runtime. The deploy was not sent. " +
	"Keep the current release active, then explicitly stop and restart the daemon with this Rollbridge installation before retrying."

// start starts a daemon and returns its status when it is ready. Only one
// caller at a time does; the others find the daemon it started.
func (r *remote) start(ctx context.Context, e *env, o startOptions) (json.RawMessage, error) {
	limit := time.Duration(o.timeoutMs) * time.Millisecond
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	l, err := r.prepare(ctx, e, o)
	if err != nil {
		return nil, err
	}
	defer l.close()
	raw, err := r.checked(ctx) // another ensure-daemon may have been quicker
	if absent(err) {
		raw, err = r.launched(ctx, l)
	}
	if err != nil && time.Since(begun) >= limit {
		return nil, l.late(limit)
	}
	return raw, err
}

// launched starts the daemon; when it does not get ready, nothing is left of it.
func (r *remote) launched(ctx context.Context, l *launch) (raw json.RawMessage, err error) {
	if err = l.run(ctx); err == nil {
		raw, err = r.checked(ctx)
	}
	if err != nil {
		l.abandon()
		return nil, l.explain(err)
	}
	return raw, nil
}
