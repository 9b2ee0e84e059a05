package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// shownLines is how many of the last output lines go with a failure.
const shownLines = 10

// outputTime is how long a failure waits for those lines.
const outputTime = 5 * time.Second

// processError is the failure of one process. Its text says what happened; the
// process's last output goes to the client that asked, never into events.
type processError struct {
	process runner.Process
	cause   error
}

func (e *processError) Error() string {
	return fmt.Sprintf("process %s: %v", e.process.Spec().Instance, e.cause)
}

func (e *processError) Unwrap() error { return e.cause }

// output is the last lines the process wrote, none when they cannot be read.
func (e *processError) output() []string {
	ctx, cancel := context.WithTimeout(context.Background(), outputTime)
	defer cancel()
	kept, _ := e.process.Tail(ctx, runner.Window{Lines: shownLines, Settled: true})
	lines := make([]string, len(kept))
	for i, line := range kept {
		lines[i] = line.Text
	}
	return lines
}

// afterSwitchError is what went wrong although traffic has moved.
type afterSwitchError struct {
	release *release
	cause   error
}

func (e *afterSwitchError) Error() string {
	return fmt.Sprintf("%s is active, but: %s", e.release.name(), strings.ReplaceAll(e.cause.Error(), "\n", "; "))
}

func (e *afterSwitchError) Unwrap() error { return e.cause }

// lastFailure says in words how a process ended last, or could not start.
func lastFailure(st runner.Status) string {
	switch {
	case st.Err != nil:
		return st.Err.Error()
	case st.Exit != nil:
		return st.Exit.String()
	}
	return "running again"
}

// answer turns an error into what the client gets: a code, one line, a hint,
// and the last output of the process it is about.
func answer(err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *control.Error:
		return e
	case config.Problems:
		return &control.Error{Code: "config", Message: e.Error(), Hint: "`rollbridge validate` shows the lines"}
	}
	return describe(err)
}

// describe looks through the chain for what a client should know besides the
// text.
func describe(err error) *control.Error {
	out := &control.Error{Code: "failed", Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
	walk(err, func(err error) {
		switch e := err.(type) {
		case *control.Error:
			out.Code, out.Hint = e.Code, e.Hint
		case *processError:
			out.Output = e.output()
		case *healthError:
			out.Code, out.Hint = "unhealthy", e.hint()
		case *afterSwitchError:
			out.Code, out.Hint = "after-switch", "traffic has moved; mend the cause and deploy again, or `rollbridge restart`"
		}
	})
	return out
}

// walk visits err and everything it wraps.
func walk(err error, visit func(error)) {
	visit(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			walk(inner, visit)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}
