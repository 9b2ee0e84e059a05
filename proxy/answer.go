package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"
)

func newSilentLog() *log.Logger { return log.New(io.Discard, "", 0) }

// An answer writes to the client what net/http would not write so by itself.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	proxy   *Proxy
	body    *upload
	old     bool // HTTP/1.0: no interim answers
	last    bool // the connection ends with this answer
	begun   bool
}

func newAnswer(w http.ResponseWriter, r *http.Request, p *Proxy, k kind) *answer {
	control := http.NewResponseController(w)
	control.EnableFullDuplex() // else the server drops what is unread of the body once the answer begins
	return &answer{
		ResponseWriter: w,
		control:        control,
		proxy:          p,
		body:           newUpload(control, r.Body),
		old:            !r.ProtoAtLeast(1, 1),
		// What follows an upgrade that was not made is not read as a request.
		last: k == webSocket || r.Header.Get("Upgrade") != "",
	}
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.begun || status < 200 && a.old {
		return
	}
	a.extend()
	if status >= 200 {
		a.begun = true
		a.finish()
	}
	a.ResponseWriter.WriteHeader(status)
}

// finish completes the final head.
func (a *answer) finish() {
	h := a.Header()
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // else net/http guesses one
	}
	// Behind a body that has not been read, net/http would panic over the next
	// request (golang/go#68560).
	if a.last || !a.body.complete() || a.proxy.closing.Load() {
		h.Set("Connection", "close")
	}
}

func (a *answer) Write(b []byte) (int, error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	a.extend()
	return a.ResponseWriter.Write(b)
}

// FlushError is what http.ResponseController calls.
func (a *answer) FlushError() error {
	a.extend()
	return a.control.Flush()
}

// extend gives the client time to take what is written next.
func (a *answer) extend() { a.control.SetWriteDeadline(time.Now().Add(bodyTimeout)) }

// fail answers a request that could not be forwarded.
func (v *visit) fail(w http.ResponseWriter, r *http.Request, err error) {
	broken := v.body.broken()
	switch {
	case errors.Is(err, errUpgraded):
	case errors.Is(err, errNoRelease):
		say(w, http.StatusServiceUnavailable, "No active release")
	case errors.Is(err, errHeldLong):
		w.Header().Set("Retry-After", "1")
		say(w, http.StatusServiceUnavailable, "Active release is restarting and took too long")
	case errors.Is(err, errHeldMany):
		w.Header().Set("Retry-After", "1")
		say(w, http.StatusServiceUnavailable, "Active release is restarting and too many requests wait for it")
	case broken == errHungUp: // whose interruption of the body has ended the context, too
		v.blame(w, broken)
	case broken != nil:
		say(w, http.StatusBadRequest, "Bad request: the body is malformed or was cut off")
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client is gone: nobody reads an answer
	default:
		v.blame(w, err)
	}
}

// blame says that the application failed with err.
func (v *visit) blame(w http.ResponseWriter, err error) {
	v.report(err)
	say(w, http.StatusBadGateway, "Bad gateway: "+reason(err))
}

// say answers with one line.
func say(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, line+"\n")
}

// reason tells a client why, without the addresses that the event has.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the application refuses connections"
	case isDialError(err):
		return "the application cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, errHungUp), errors.Is(err, net.ErrClosed): // net/http noticed the end while it was still sending the body
		return "the application closed the connection without an answer"
	case errors.Is(err, context.DeadlineExceeded):
		return "the application took too long"
	}
	return "the application's answer is not valid"
}
