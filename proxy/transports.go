package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
	return &upstreamConn{TCPConn: conn.(*net.TCPConn)}, nil
}

func isDialError(err error) bool {
	_, ok := errors.AsType[dialError](err)
	return ok
}

// An upstreamConn is a connection to an upstream.
type upstreamConn struct {
	*net.TCPConn
	target string // put in place of the placeholder in the next request line
}

// placeholder stands for a request target that net/url would write otherwise
// than it was read.
const placeholder = "/"

// Write is called with a whole request line first, as net/http buffers more
// than that.
func (c *upstreamConn) Write(b []byte) (int, error) {
	if c.target == "" {
		return c.TCPConn.Write(b)
	}
	head, err := retarget(b, c.target)
	c.target = ""
	if err != nil {
		return 0, err
	}
	if _, err := c.TCPConn.Write(head); err != nil {
		return 0, err
	}
	return len(b), nil
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
