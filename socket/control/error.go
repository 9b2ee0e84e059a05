package control

import (
	"fmt"
	"runtime/debug"
)

// Codes of the errors that this package answers with. Commands add their own.
const (
	CodeBusy     = "busy"     // too much is going on; later it may work
	CodeDenied   = "denied"   // the caller may not connect
	CodeFailed   = "failed"   // the command failed; also any error without a code
	CodeInternal = "internal" // a defect of the daemon
	CodeInvalid  = "invalid"  // not a request, or a field of the wrong type
	CodeUnknown  = "unknown"  // no such command
)

// An Error is an error as it travels: what happened in one line, a stable word
// that programs decide on, and what to do about it.
type Error struct {
	Code    string
	Message string
	Hint    string   // may be empty
	Output  []string // the last lines of the process it is about, if there is one
}

func (e *Error) Error() string { return e.Message }

// A Panic is the error of a command that panicked. It has code CodeInternal.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("internal error: %v", p.Value) }

func (p *Panic) Unwrap() error {
	return &Error{Code: CodeInternal, Message: p.Error(), Hint: "the daemon goes on; please report this"}
}

// caught turns a panic of the surrounding function into its error.
func caught(err *error) {
	if value := recover(); value != nil {
		*err = &Panic{Value: value, Stack: debug.Stack()}
	}
}

func invalid(format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(format, args...)}
}
