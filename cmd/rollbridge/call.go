package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

// A remote is the daemon of one configuration, seen from the command line.
type remote struct {
	config  *config.Config
	socket  string
	timeout time.Duration // 0 waits as long as the daemon is alive
	pulse   time.Duration // how often it is asked for a sign of life then, and how long that may take
}

const usualPulse = 10 * time.Second

var (
	errSilent  = errors.New("no answer in time")
	errHanging = errors.New("no sign of life")
)

// reach reads the configuration and names the daemon it belongs to.
func (t *target) reach(e *env, o format) (*remote, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	cfg, err := e.load(t.config)
	if err != nil {
		return nil, err
	}
	return &remote{config: cfg, socket: cfg.Control.Path, timeout: t.timeout, pulse: usualPulse}, nil
}

// load reads the configuration at path, or the one found by default.
func (e *env) load(path string) (*config.Config, error) {
	path, err := e.configPath(path)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	var problems config.Problems
	if errors.As(err, &problems) {
		return nil, invalidConfig(path, problems)
	}
	return cfg, err
}

// configPath is the given path, or the one found by default.
func (e *env) configPath(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	path, err := config.Find(e.Dir)
	if err != nil {
		return "", failure(err, "name the file: --config <path>")
	}
	return path, nil
}

func invalidConfig(path string, problems config.Problems) error {
	var b strings.Builder
	b.WriteString("Invalid Rollbridge config:")
	for _, p := range problems {
		b.WriteString("\n  - " + p.Message)
	}
	return complaint(b.String(), "rollbridge validate --config "+path+" shows where, and how to mend it")
}

// call sends one command and waits for its answer: read into R, and as the
// daemon sent it.
func call[R any](ctx context.Context, r *remote, command string, args any, progress func(json.RawMessage)) (R, json.RawMessage, error) {
	ctx, stop := r.bounded(ctx)
	defer stop()
	var none R
	client, err := control.Dial(ctx, r.socket)
	if err != nil {
		return none, nil, r.explain(ctx, command, err)
	}
	defer client.Close()
	answer, raw, err := control.Call[R](ctx, client, command, args, progress)
	if err != nil {
		return none, nil, r.explain(ctx, command, err)
	}
	return answer, raw, nil
}

// bounded ends the context when the daemon takes too long, or shows no sign of
// life.
func (r *remote) bounded(ctx context.Context) (context.Context, func()) {
	if r.timeout > 0 {
		return context.WithTimeoutCause(ctx, r.timeout, errSilent)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go r.watch(ctx, cancel)
	return ctx, func() { cancel(nil) }
}

// watch asks the daemon for a sign of life every now and then. Only silence
// counts: while it shuts down it refuses connections, but will still answer.
func (r *remote) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	for sleep(ctx, r.pulse) {
		if r.silent(ctx) && ctx.Err() == nil {
			cancel(errHanging)
			return
		}
	}
}

func (r *remote) silent(ctx context.Context) bool {
	ctx, cancel := context.WithTimeoutCause(ctx, r.pulse, errSilent)
	defer cancel()
	client, err := control.Dial(ctx, r.socket)
	if err != nil {
		return isTimeout(err)
	}
	defer client.Close()
	_, _, err = control.Call[struct{}](ctx, client, "status", supervisor.StatusArgs{WithoutLogs: true}, nil)
	return err != nil && (context.Cause(ctx) == errSilent || isTimeout(err))
}

// sleep reports whether it slept to its end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// explain says why there is no answer, or what the daemon's error is.
func (r *remote) explain(ctx context.Context, command string, err error) error {
	var said *control.Error
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &said):
		return &fault{err: errors.New(said.Message), details: said.Output, hint: said.Hint, code: exitFailed}
	case errors.Is(err, control.ErrNoDaemon):
		return &fault{err: err, hint: "start it: rollbridge ensure-daemon --config " + r.config.File, code: exitNoDaemon}
	case cause == errSilent, isTimeout(err):
		return failure(fmt.Errorf("%s: the daemon on %s did not answer within %s", command, r.socket, r.timeout),
			"it may be stuck or very busy; --timeout waits longer, its log tells more")
	case cause == errHanging:
		return failure(fmt.Errorf("%s: the daemon on %s gives no sign of life", command, r.socket),
			"it may be stopped or stuck; what was asked for may still happen when it goes on")
	case errors.Is(err, control.ErrClosed):
		return failure(fmt.Errorf("%s: %w", command, err), "its log says why; rollbridge status shows what runs when it is back")
	}
	return failure(fmt.Errorf("%s: %w", command, err), "")
}

// isTimeout reports whether an error is the end of a deadline: the network may
// notice it before the context does.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// print writes a result: the daemon's own JSON, or text for people.
func (e *env) print(o format, raw json.RawMessage, text func() error) error {
	if o.wantsText(e.Stdout) {
		return text()
	}
	return e.printJSON(raw)
}

// printJSON writes a JSON value indented, its keys in their order.
func (e *env) printJSON(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := e.Stdout.Write(b.Bytes())
	return err
}

// order has the daemon run a command, shows the steps meanwhile, and prints the
// answer: as it came, or for people with write.
func order[R any](ctx context.Context, e *env, t target, o format, command string, args any, write func(R) error) error {
	r, err := t.reach(e, o)
	if err != nil {
		return err
	}
	p := e.newProgress(false)
	result, raw, err := call[R](ctx, r, command, args, p.handler())
	p.finish()
	if err != nil {
		return err
	}
	return e.print(o, raw, func() error { return write(result) })
}
