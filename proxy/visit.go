package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	dialPatience = time.Second           // for an upstream that refuses connections and is not suspended
	dialPause    = 20 * time.Millisecond // between two tries of that
)

var (
	errNoRelease = errors.New("no active release")
	errHeldLong  = errors.New("held too long")
	errHeldMany  = errors.New("too many requests held")
	errUpgraded  = errors.New("upgraded") // not a failure: the answer is a tunnel
)

// A visit is one request on its way to an upstream, and its answer on the way
// back. Its methods run on the goroutine of the request, unless noted.
type visit struct {
	proxy *Proxy
	kind  kind
	peer  peer
	at    *Upstream // where it is counted; nil while it is not
	body  *upload

	deadline time.Time // of holding; zero before the first wait
	refused  time.Time // when the upstream began to refuse connections
	replayed bool

	target   string         // as it came, in origin form
	conn     *upstreamConn  // of the last try
	answered atomic.Bool    // a byte of an answer came, in the last try
	upgraded *http.Response // 101
}

// serveHTTP forwards one request.
func (p *Proxy) serveHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{proxy: p, kind: kindOf(r), peer: p.peerOf(r), target: originForm(r.RequestURI)}
	client := newAnswer(w, r, p, v.kind)
	v.body = client.body
	in := r.WithContext(r.Context()) // the server looks at the body of r itself
	in.Body = v.body.reader()
	if v.kind == plain {
		in.Header.Del("Upgrade") // to anything but WebSocket is ignored
	}
	defer v.body.end()
	defer v.leave()
	if err := v.claim(in.Context()); err != nil {
		v.fail(client, in, err)
		return
	}
	v.forward(client, in)
	if v.upgraded != nil {
		v.tunnel(client)
	}
}

// kindOf sorts the WebSocket handshakes out.
func kindOf(r *http.Request) kind {
	if r.Method == http.MethodGet && r.ContentLength == 0 && r.ProtoAtLeast(1, 1) && websocket.IsWebSocketUpgrade(r) {
		return webSocket
	}
	return plain
}

// buffers are what bodies and tunnels are copied through.
var buffers = bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

// silent is for what is reported otherwise.
var silent = newSilentLog()

func (v *visit) forward(w http.ResponseWriter, r *http.Request) {
	engine := httputil.ReverseProxy{
		Rewrite:       v.rewrite,
		Transport:     v,
		FlushInterval: -1,
		BufferPool:    &buffers,
		ErrorHandler:  v.fail,
		ErrorLog:      silent,
	}
	engine.ServeHTTP(w, r)
}

// claim counts the request on the active upstream, and waits while that one is
// suspended.
func (v *visit) claim(ctx context.Context) error {
	for {
		u := v.proxy.active.Load()
		if u == nil {
			return errNoRelease
		}
		again := u.enter(v.kind)
		if again == nil {
			v.at = u
			return nil
		}
		v.refused = time.Time{} // whoever refused is known to be down, or replaced
		if err := v.hold(ctx, again); err != nil {
			return err
		}
	}
}

// leave takes the request out of the count.
func (v *visit) leave() {
	if v.at != nil {
		v.at.leave(v.kind)
		v.at = nil
	}
}

// hold waits for ready, within the bounds of the options.
func (v *visit) hold(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	default:
	}
	opt := v.proxy.options.Load()
	if v.deadline.IsZero() {
		v.deadline = time.Now().Add(opt.HoldTimeout)
	}
	defer v.proxy.held.Add(-1)
	if v.proxy.held.Add(1) > int64(opt.MaxHeld) {
		return errHeldMany
	}
	timeout, cancel := context.WithDeadlineCause(ctx, v.deadline, errHeldLong)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-timeout.Done():
		return context.Cause(timeout)
	}
}

// RoundTrip sends the request until it is answered or cannot be sent again.
func (v *visit) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		res, err := v.try(r)
		if err == nil {
			return v.accept(r.Context(), res)
		}
		if !v.mayRetry(r, err) {
			return nil, err
		}
		if err := v.wait(r.Context(), err); err != nil {
			return nil, err
		}
	}
}

// try sends the request to the upstream where it is counted.
func (v *visit) try(r *http.Request) (*http.Response, error) {
	v.answered.Store(false)
	v.conn = nil
	trace := &httptrace.ClientTrace{
		GotConn:              func(i httptrace.GotConnInfo) { v.got(i.Conn) },
		GotFirstResponseByte: func() { v.answered.Store(true) },
	}
	out := r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	url := *r.URL
	url.Host = v.at.addr
	out.URL = &url
	if r.Body != nil {
		out.Body = io.NopCloser(r.Body) // a failed dial closes it
	}
	res, err := v.at.of(r).RoundTrip(out)
	if v.conn != nil {
		v.conn.carries(nil)
	}
	return res, err
}

// got is called when the request has a connection, before it is written.
func (v *visit) got(conn net.Conn) {
	v.conn = conn.(*upstreamConn)
	v.conn.carries(v.body)
	if isAmbiguous(v.target) {
		v.conn.target = v.target
	}
}

// accept checks what net/http lets through in an answer.
func (v *visit) accept(ctx context.Context, res *http.Response) (*http.Response, error) {
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols && v.kind == webSocket && isWebSocket(res):
		v.upgraded = res
		return nil, errUpgraded
	case res.StatusCode == http.StatusSwitchingProtocols:
		res.Body.Close()
		return nil, errors.New("answered 101 Switching Protocols to something else than asked")
	case res.StatusCode < 200:
		res.Body.Close()
		return nil, fmt.Errorf("answered with status %03d", res.StatusCode)
	}
	res.Body = &download{ReadCloser: res.Body, ctx: ctx, visit: v}
	return res, nil
}

func isWebSocket(res *http.Response) bool {
	return strings.EqualFold(res.Header.Get("Upgrade"), "websocket")
}

// mayRetry reports whether the request that failed with err can be sent again
// without a risk that it is acted on twice.
func (v *visit) mayRetry(r *http.Request, err error) bool {
	if r.Context().Err() != nil {
		return false
	}
	if isDialError(err) {
		return v.patient()
	}
	if v.replayed || v.answered.Load() || !replayable(r) {
		return false
	}
	v.replayed = true
	return true
}

// patient reports whether the upstream may still be between two processes.
func (v *visit) patient() bool {
	if v.refused.IsZero() {
		v.refused = time.Now()
	}
	return time.Since(v.refused) < min(dialPatience, v.proxy.options.Load().HoldTimeout)
}

// wait lets the request look for an upstream again, a little later when there
// was no connection.
func (v *visit) wait(ctx context.Context, err error) error {
	v.leave()
	if isDialError(err) {
		pause, cancel := context.WithTimeout(context.Background(), dialPause)
		defer cancel()
		if held := v.hold(ctx, pause.Done()); held != nil {
			return held
		}
	}
	return v.claim(ctx)
}

// A download is the body of an answer. It reports an upstream that breaks off.
type download struct {
	io.ReadCloser
	ctx   context.Context
	visit *visit
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && err != io.EOF && d.ctx.Err() == nil {
		d.visit.report(fmt.Errorf("broke off in the middle of an answer: %w", err))
	}
	return n, err
}

// report tells the owner of the proxy about the upstream.
func (v *visit) report(err error) {
	if u := v.at; u != nil {
		err = fmt.Errorf("release %s at %s: %w", u.name, u.addr, err)
	}
	v.proxy.report(err)
}
