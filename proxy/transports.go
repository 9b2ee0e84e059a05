package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	dialTimeout     = 5 * time.Second
	poolTimeout     = 30 * time.Second // of an idle connection to an upstream
	continueTimeout = time.Second      // until a body is sent without a 100 Continue
	maxAnswerHead   = 256 << 10
)

// transports are the two ways to an upstream: over kept-alive connections, or
// over a connection that no request used before.
type transports struct{ pooled, fresh *http.Transport }

func newTransports() transports {
	pooled := &http.Transport{
		DialContext:            dial,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        poolTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxAnswerHead,
	}
	fresh := pooled.Clone()
	fresh.DisableKeepAlives = true
	return transports{pooled, fresh}
}

// of is the way that r may take; see the package comment.
func (t transports) of(r *http.Request) *http.Transport {
	if replayable(r) && r.Header.Get("Upgrade") == "" {
		return t.pooled
	}
	return t.fresh
}

func (t transports) closeIdle() { t.pooled.CloseIdleConnections() }

// replayable reports whether r may be sent a second time.
func replayable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

// dialError says that there is no connection, so nothing was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, dialError{err}
	}
	return &upstreamConn{halfConn: conn.(halfConn)}, nil
}

func isDialError(err error) bool {
	_, ok := errors.AsType[dialError](err)
	return ok
}

// An upstreamConn is a connection to an upstream. An application may answer and
// close while it is still being sent a body: what it said counts, not that it no
// longer reads. So a failed write is not told, and the next read tells how the
// connection ended.
type upstreamConn struct {
	halfConn
	target string // put in place of the placeholder in the next request line
	deaf   bool   // the peer reads no more

	body  atomic.Pointer[upload] // of the request, until that is answered
	ended atomic.Bool            // nothing more will be read
}

// placeholder stands for a request target that net/url would write otherwise
// than it was read.
const placeholder = "/"

// Write is called with a whole request line first, as net/http buffers more
// than that.
func (c *upstreamConn) Write(b []byte) (int, error) {
	out := b
	if c.target != "" {
		var err error
		if out, err = retarget(b, c.target); err != nil {
			return 0, err
		}
		c.target = ""
	}
	if c.deaf {
		return len(b), nil
	}
	if n, err := c.halfConn.Write(out); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		c.deaf = true
	} else if err != nil {
		return min(n, len(b)), err
	}
	return len(b), nil
}

// Read ends the upload when nothing more can be answered: net/http would wait
// for a client that is silent in the middle of it.
func (c *upstreamConn) Read(b []byte) (int, error) {
	n, err := c.halfConn.Read(b)
	if err != nil && !errors.Is(err, net.ErrClosed) { // which is our own doing
		c.ended.Store(true)
		c.interrupt()
	}
	return n, err
}

// carries says which body the connection carries to an application that has not
// answered; nil is none.
func (c *upstreamConn) carries(body *upload) {
	c.body.Store(body)
	if c.ended.Load() {
		c.interrupt()
	}
}

func (c *upstreamConn) interrupt() {
	if body := c.body.Load(); body != nil {
		body.interrupt()
	}
}

// retarget is head with target in its request line.
func retarget(head []byte, target string) ([]byte, error) {
	for i, b := range head {
		if b != ' ' {
			continue
		}
		method, rest := head[:i+1], head[i+1:]
		if len(rest) < 2 || string(rest[:2]) != placeholder+" " {
			break
		}
		out := make([]byte, 0, len(head)+len(target))
		out = append(out, method...)
		out = append(out, target...)
		return append(out, rest[len(placeholder):]...), nil
	}
	return nil, fmt.Errorf("request line without placeholder: %.40q", head)
}
