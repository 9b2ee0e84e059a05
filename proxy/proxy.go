// Package proxy forwards HTTP/1.1 requests and WebSockets to the active release
// and counts what is open on each.
//
// A Proxy has one active Upstream, or none. Every request claims the upstream
// that is active at that moment: it is counted there, under the upstream's own
// lock, or not at all, and then tries the next active one. So once Switch has
// returned, nothing new reaches the previous upstream, and what reached it
// before is in its count until it has ended. No lock is held while an answer
// flows.
//
// A request whose upstream is suspended, or does not accept connections for a
// moment, waits (it is held) as long as nothing of it was sent. A request that
// was sent is sent once more only when it is GET, HEAD, OPTIONS or TRACE without
// a body and not a byte of an answer came back. Only those share kept-alive
// connections to the upstream; any other gets a connection of its own, since an
// upstream that closes an idle connection at the moment a request is written to
// it leaves nobody knowing whether the request was taken.
//
// What clients send is checked strictly before anything of it is forwarded (see
// framer), and WebSockets are tunnelled byte for byte, with frame boundaries
// followed so that a Close frame can be put between two frames (see tunnel).
package proxy

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headTimeout = time.Minute     // for a whole request head
	idleTimeout = 2 * time.Minute // of a kept-alive client connection; longer than nginx keeps its own
	bodyTimeout = 5 * time.Minute // without a byte moving, in a request or an answer
	maxHead     = 16 << 10        // bytes of a request head
)

// Options are the settings of a Proxy.
type Options struct {
	// TrustedProxies are the peers whose X-Forwarded-* are kept. nil means
	// loopback, an empty list nobody; peers on Unix sockets always are.
	TrustedProxies []netip.Prefix
	// HoldTimeout is how long a request waits for its upstream; 0 is not at all.
	HoldTimeout time.Duration
	// MaxHeld is how many requests may wait at a time; 0 is none.
	MaxHeld int
	// CloseSpread is the interval over which Shutdown closes the WebSockets.
	CloseSpread time.Duration
	// OnError is told what went wrong with upstreams and listeners. It is called
	// from many goroutines and must not block. nil drops it.
	OnError func(error)
}

var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
}

// A Proxy forwards what it is asked to the active upstream. Its methods may be
// called concurrently.
type Proxy struct {
	options atomic.Pointer[Options]
	active  atomic.Pointer[Upstream] // written by Switch only
	held    atomic.Int64

	server   *http.Server
	closing  atomic.Bool        // Shutdown has begun; set under mu
	cancel   context.CancelFunc // ends every request
	serving  sync.WaitGroup     // calls of Serve
	shutdown chan struct{}      // a place for one Shutdown at a time
	changed  chan struct{}      // something Shutdown waits for may have happened
	tunnels  tunnels

	switching sync.Mutex // one Switch at a time

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]bool
	conns     map[*clientConn]connState
}

// New makes a proxy without an active upstream: it answers 503.
func New(opt Options) *Proxy {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		cancel:    cancel,
		shutdown:  make(chan struct{}, 1),
		changed:   make(chan struct{}, 1),
		listeners: make(map[net.Listener]bool),
		conns:     make(map[*clientConn]connState),
	}
	p.Configure(opt)
	p.server = &http.Server{
		Handler:                      http.HandlerFunc(p.serveHTTP),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHead - 4096, // the server adds 4096 to it
		ConnState:                    p.noteState,
		ErrorLog:                     log.New(serverLog{p}, "", 0),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
	}
	return p
}

// Configure replaces the options; requests under way may still see the old ones.
func (p *Proxy) Configure(opt Options) {
	if opt.TrustedProxies == nil {
		opt.TrustedProxies = loopback
	}
	p.options.Store(&opt)
}

// Switch makes next the active upstream, in one step, and returns the one that
// was. From its return on no new request goes to previous. A nil next answers
// new requests with 503. Requests that are held go to next.
func (p *Proxy) Switch(next *Upstream) (previous *Upstream) {
	p.switching.Lock()
	defer p.switching.Unlock()
	if next != nil {
		next.admit()
	}
	previous = p.active.Swap(next)
	if previous != nil && previous != next {
		previous.retire()
	}
	return previous
}

// Active is the upstream that new requests go to, or nil.
func (p *Proxy) Active() *Upstream { return p.active.Load() }

// Held is how many requests wait for their upstream.
func (p *Proxy) Held() int { return int(p.held.Load()) }

func (p *Proxy) report(err error) {
	if f := p.options.Load().OnError; f != nil {
		f(err)
	}
}

// serverLog makes errors of the lines that net/http logs.
type serverLog struct{ p *Proxy }

func (l serverLog) Write(line []byte) (int, error) {
	first, _, _ := strings.Cut(string(line), "\n") // a stack may follow
	l.p.report(serverError(first))
	return len(line), nil
}

type serverError string

func (e serverError) Error() string { return string(e) }
