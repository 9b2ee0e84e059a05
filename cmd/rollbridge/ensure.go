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
		long: `Asks the daemon for its state and, when there is none, starts one and waits
until it is ready: the unit that systemd has for it, else a process in the
background. A daemon of another application, or of another rollbridge program,
is an error: it is left alone.`,
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

// ensure returns the status of the daemon, which it starts when none is there:
// as the unit that systemd has for it, else by itself.
func (r *remote) ensure(ctx context.Context, e *env, o startOptions) (json.RawMessage, error) {
	if o.runtime != "" {
		fmt.Fprintln(e.Stderr, "note: --daemon-runtime-path has no effect: the program is one file, nothing is copied")
	}
	if starter, there, unusable := r.service.installed(ctx); there {
		return r.ensureService(ctx, e, o, starter, unusable)
	}
	r.service = service{}
	raw, err := r.checked(ctx, e)
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
func (r *remote) checked(ctx context.Context, e *env) (json.RawMessage, error) {
	brisk := *r
	if brisk.timeout == 0 {
		brisk.timeout = quick
	}
	st, raw, err := insist[supervisor.StatusResult](ctx, e, &brisk, nil, "status", struct{}{})
	if err != nil {
		return nil, err
	}
	if r.config.Application != "" && st.Application != r.config.Application {
		return nil, complaint(fmt.Sprintf("The Rollbridge daemon on %s runs application %q, not %q. The deploy was not sent.", r.socket, st.Application, r.config.Application),
			"give each application its own control.path and proxy.port")
	}
	own, err := thisRuntime()
	if err != nil {
		return nil, err
	}
	return raw, r.compare(e, own, st.DaemonRuntime)
}

const mismatch = "The running Rollbridge daemon has a legacy or mismatched runtime. The deploy was not sent. " +
	"Keep the current release active, then explicitly stop and restart the daemon with this Rollbridge installation before retrying."

// compare refuses a daemon that is another program than this one. The package's
// daemon may be the one that this program has just replaced: while an upgrade is
// under way, or when nothing was to be restarted, it goes on, and takes commands.
func (r *remote) compare(e *env, own, daemon supervisor.DaemonRuntime) error {
	switch {
	case daemon.Digest == own.Digest:
		return nil
	case !r.service.isInstance():
		return complaint(mismatch, "rollbridge shutdown, then try again; the release has to be deployed anew")
	case daemon.Path == own.Path:
		fmt.Fprintf(e.Stderr, "%s the daemon still is rollbridge %s, and this is %s; %s brings the new one in\n",
			e.Stderr.dim("note:"), printable(daemon.Version), own.Version, r.service.systemctl("restart "+r.service.Service))
		return nil
	}
	return complaint(mismatch, fmt.Sprintf("the daemon is %s: use that program, or have %s start this one, then %s",
		printable(daemon.Path), r.service.Service, r.service.systemctl("restart "+r.service.Service)))
}

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
	raw, err := r.checked(ctx, e) // another ensure-daemon may have been quicker
	if absent(err) {
		raw, err = r.launched(ctx, e, l)
	}
	if err != nil && time.Since(begun) >= limit {
		return nil, l.late(limit)
	}
	return raw, err
}

// launched starts the daemon; when it does not get ready, nothing is left of it.
func (r *remote) launched(ctx context.Context, e *env, l *launch) (raw json.RawMessage, err error) {
	if err = l.run(ctx); err == nil {
		raw, err = r.checked(ctx, e)
	}
	if err != nil {
		l.abandon()
		return nil, l.explain(err)
	}
	return raw, nil
}
