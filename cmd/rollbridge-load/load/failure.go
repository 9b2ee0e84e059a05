package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// A Class is a kind of failure, as a client sees it.
type Class string

// The classes. A bad HTTP status is "status-502" and so on, a WebSocket closed
// with an unexpected code "websocket-closed-1001" and so on.
const (
	ConnectRefused    Class = "connect-refused"
	ConnectTimeout    Class = "connect-timeout"
	ConnectFailed     Class = "connect-failed"
	Reset             Class = "reset"
	EOFBeforeResponse Class = "eof-before-response"
	EOFMidBody        Class = "eof-mid-body"
	KeepAliveClosed   Class = "keepalive-closed" // a request was written on a kept connection and only its end came back
	Timeout           Class = "timeout"
	Malformed         Class = "malformed-response"
	WrongBody         Class = "wrong-body"
	OldRelease        Class = "old-release" // answered by another release after the switch was acknowledged
	SocketRefused     Class = "websocket-refused"
	SocketCut         Class = "websocket-cut"   // ended without a Close frame
	SocketEarly       Class = "websocket-early" // closed before the drain deadline of its release
	SocketWrongEcho   Class = "websocket-wrong-echo"
)

func badStatus(code int) Class    { return Class(fmt.Sprintf("status-%d", code)) }
func badCloseCode(code int) Class { return Class(fmt.Sprintf("websocket-closed-%d", code)) }

// A Failure is one thing that must not happen to a client.
type Failure struct {
	Class  Class  `json:"class"`
	Kind   Kind   `json:"kind"`
	At     string `json:"at"`
	Detail string `json:"detail"`
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %s: %s", f.Kind, f.Class, f.Detail) }

// failed makes a Failure; its time and kind are added when it is recorded.
func failed(class Class, format string, args ...any) *Failure {
	return &Failure{Class: class, Detail: fmt.Sprintf(format, args...)}
}

func connectFailure(err error) *Failure {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return failed(ConnectRefused, "%v", err)
	case isTimeout(err):
		return failed(ConnectTimeout, "%v", err)
	}
	return failed(ConnectFailed, "%v", err)
}

// writeFailure is for a request that could not be written whole.
func writeFailure(err error, reused bool) *Failure {
	if isReset(err) && reused {
		return failed(KeepAliveClosed, "write: %v", err)
	}
	return transferFailure(err, EOFBeforeResponse, "write")
}

// headFailure is for an answer whose head did not arrive; got says whether
// some of it did.
func headFailure(err error, reused, got bool) *Failure {
	if reused && !got && (isEOF(err) || isReset(err)) {
		return failed(KeepAliveClosed, "read: %v", err)
	}
	return transferFailure(err, EOFBeforeResponse, "head")
}

func bodyFailure(err error) *Failure { return transferFailure(err, EOFMidBody, "body") }

func transferFailure(err error, eof Class, where string) *Failure {
	switch {
	case isTimeout(err):
		return failed(Timeout, "%s: %v", where, err)
	case isReset(err):
		return failed(Reset, "%s: %v", where, err)
	case isEOF(err):
		return failed(eof, "%s: %v", where, err)
	}
	return failed(Malformed, "%s: %v", where, err)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}
