package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

// A remote is the daemon of one configuration, seen from the command line.
type remote struct {
	config  *config.Config // of one that cannot be used only the places
	unread  error          // why it cannot; its daemon may do all the same
	socket  string
	service service
	wake    bool          // start a stopped daemon, whatever it is asked
	timeout time.Duration // 0 waits as long as the daemon is alive
	pulse   time.Duration // how often it is asked for a sign of life then, and how long that may take
}

// wakes are the commands that have systemd start a daemon that is stopped. For
// the others there is nothing to see, or to end, in one.
var wakes = map[string]bool{"deploy": true, "rollback": true, "restart": true}

const usualPulse = 10 * time.Second

var (
	errSilent  = errors.New("no answer in time")
	errHanging = errors.New("no sign of life")
)

// reach names the daemon that a configuration belongs to. That of an instance is
// known by where its configuration lies, and answers for it: whoever may use its
// control socket need not be able to read the file, which may be broken, too.
func (t *target) reach(e *env, o format) (*remote, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	file, err := e.configPath(t.config)
	if err != nil {
		return nil, err
	}
	cfg, unread := loadConfig(file)
	if unread != nil {
		if cfg = placesAlone(e.absolute(file), unread); cfg == nil {
			return nil, unread
		}
	}
	return &remote{
		config: cfg, unread: unread, socket: cfg.Control.Path, service: serviceFor(cfg.File),
		timeout: t.timeout, pulse: usualPulse,
	}, nil
}

// placesAlone is what is known of a configuration that cannot be used, if it is
// one of an instance; else nil. One that is gone is that of a daemon that is still
// there.
func placesAlone(file string, unread error) *config.Config {
	path := config.PlacesOf(file, "").Control
	if _, err := os.Stat(path); err != nil && errors.Is(unread, fs.ErrNotExist) || !config.DefaultOptions().IsInstance(file) {
		return nil
	}
	return &config.Config{File: file, Control: config.Control{Path: path}}
}

// load reads the configuration that is given, or the one found by default.
func (e *env) load(given string) (*config.Config, error) {
	path, err := e.configPath(given)
	if err != nil {
		return nil, err
	}
	return loadConfig(path)
}

// loadConfig reads the configuration at path.
func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	var problems config.Problems
	var load *config.LoadError
	switch {
	case errors.As(err, &problems):
		return nil, invalidConfig(path, problems)
	case errors.Is(err, fs.ErrPermission) && errors.As(err, &load):
		return nil, complaint(load.Message, accessHint(path, toRead))
	}
	return cfg, err
}

// configPath is the file that is given, by its path or as the name of an instance,
// or the one found by default.
func (e *env) configPath(given string) (string, error) {
	if given == "" {
		path, err := config.Find(e.Dir)
		if err != nil {
			return "", failure(err, nameOne(config.Instances(), isDir(config.InstanceDir)))
		}
		return path, nil
	}
	if info, err := os.Stat(e.absolute(given)); err == nil && info.Mode().IsRegular() || !config.CanName(given) {
		return given, nil
	}
	path, err := config.Named(given)
	var none *config.LoadError
	if errors.As(err, &none) {
		return "", complaint(none.Message, none.Fix)
	}
	return path, err
}

// nameOne is what to do where no configuration is named and there is none that is
// used by default.
func nameOne(instances []config.Instance, installed bool) string {
	var names []string
	for _, instance := range instances {
		names = append(names, "-c "+instance.Name)
	}
	switch {
	case len(names) > 0:
		return "name the instance: " + strings.Join(names, " or ")
	case installed:
		return "on a server write " + config.InstanceFile(unitgen.DefaultInstance) + ", see man rollbridge.yaml; then `systemctl daemon-reload` and `systemctl start rollbridge.socket`"
	}
	return "name the file: --config <path>, or the instance: -c <name>"
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
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
	if !r.wake && !wakes[command] {
		if daemon, asleep := r.service.asleep(ctx); asleep {
			return none, nil, r.service.stopped(ctx, daemon)
		}
	}
	client, err := control.Dial(ctx, r.socket)
	if err != nil {
		return none, nil, r.unreached(ctx, command, err)
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
	if r.service.ends(ctx) {
		return false
	}
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

// unreached says why there is no connection.
func (r *remote) unreached(ctx context.Context, command string, err error) error {
	var said *control.Error
	switch {
	case errors.As(err, &said) && said.Code == control.CodeDenied:
		return barred(r.socket, toWrite)
	case errors.Is(err, control.ErrNoDaemon):
		return r.nobody(ctx, err)
	}
	return r.explain(ctx, command, err)
}

// nobody says that nobody listens, what may be the reason, and who would.
func (r *remote) nobody(ctx context.Context, err error) error {
	f := &fault{err: err, hint: "start it: rollbridge ensure-daemon --config " + r.config.File, code: exitNoDaemon}
	if r.unread != nil {
		f.details = strings.Split(r.unread.Error(), "\n")
	}
	switch starter, there, unusable := r.service.installed(ctx); {
	case unusable != nil:
		var known *fault
		errors.As(unusable, &known)
		f.details, f.hint = append(f.details, known.Error()), known.hint
	case there:
		f.hint = r.service.systemctl("start "+starter) + " starts it"
	}
	return f
}

// explain says why there is no answer, or what the daemon's error is.
func (r *remote) explain(ctx context.Context, command string, err error) error {
	var said *control.Error
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &said):
		return &fault{err: said, details: said.Output, hint: said.Hint, code: exitFailed}
	case (cause == errSilent || isTimeout(err)) && r.service.ends(context.WithoutCancel(ctx)):
		return &fault{err: fmt.Errorf("%w: %s is being stopped", control.ErrNoDaemon, r.service.Service), code: exitNoDaemon}
	case cause == errSilent, isTimeout(err):
		return failure(fmt.Errorf("%s: the daemon on %s did not answer within %s", command, r.socket, r.timeout),
			"it may be stuck or very busy; --timeout waits longer, its log tells more")
	case cause == errHanging:
		return failure(fmt.Errorf("%s: the daemon on %s gives no sign of life", command, r.socket),
			"it may be stopped or stuck; what was asked for may still happen when it goes on")
	case errors.Is(err, control.ErrClosed):
		if deaf := r.service.deaf(context.WithoutCancel(ctx)); deaf != nil { // systemd let go of whoever waited
			return deaf
		}
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
	return orderFrom(ctx, e, r, o, command, args, write)
}

// orderFrom is order for a daemon that is known.
func orderFrom[R any](ctx context.Context, e *env, r *remote, o format, command string, args any, write func(R) error) error {
	p := e.newProgress(false)
	result, raw, err := insist[R](ctx, e, r, p, command, args)
	p.finish()
	if err != nil {
		return err
	}
	return e.print(o, raw, func() error { return write(result) })
}
