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
	// quietGrace is how long a connection has to be quiet at a shutdown: a client
	// that is about to ask on it would lose that request.
	quietGrace = time.Second
	cutGrace   = time.Second // for requests to end whose connection was cut
)

// Serve accepts connections from l and serves them, until Shutdown closes l. It
// may be called for several listeners. A listener that fails ends it with the
// error; a lack of file descriptors does not, it is reported and waited out.
func (p *Proxy) Serve(l net.Listener) error {
	if !p.adopt(l) {
		l.Close()
		return nil
	}
	defer p.serving.Done()
	err := p.server.Serve(listener{l, p})
	if p.closing.Load() {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// adopt makes l one of the listeners that Shutdown closes.
func (p *Proxy) adopt(l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing.Load() {
		return false
	}
	p.listeners[l] = true
	p.serving.Add(1)
	return true
}

// listener makes clientConns.
type listener struct {
	net.Listener
	proxy *Proxy
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: conn, proxy: l.proxy}, nil
}

// connState is what a connection has been doing, since when.
type connState struct {
	http.ConnState
	since time.Time
}

// noteState follows what each connection is doing. One that becomes a tunnel
// stays active until it is counted as that: Shutdown must not miss it between.
func (p *Proxy) noteState(conn net.Conn, state http.ConnState) {
	c := conn.(*clientConn)
	switch state {
	case http.StateClosed:
		p.forget(c)
		return
	case http.StateHijacked:
		return
	}
	p.mu.Lock()
	p.conns[c] = connState{state, time.Now()}
	p.mu.Unlock()
	p.notify()
}

// forget no longer counts a connection: it has ended, or is a tunnel.
func (p *Proxy) forget(c *clientConn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	p.notify()
}

// notify wakes Shutdown, if there is one.
func (p *Proxy) notify() {
	if !p.closing.Load() {
		return
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Shutdown stops accepting and serves out: a request that arrives on a
// connection that was accepted is still answered, then the connection ends, and
// WebSockets live on until their ends close them. It returns when all of them
// are gone. When ctx ends first the WebSockets that are left get a Close frame,
// spread over Options.CloseSpread, then the rest is cut, and the error says how
// much. A second call waits for the first.
func (p *Proxy) Shutdown(ctx context.Context) error {
	select {
	case p.shutdown <- struct{}{}:
		defer func() { <-p.shutdown }()
	case <-ctx.Done():
		return fmt.Errorf("shutdown: %w", context.Cause(ctx))
	}
	p.stopAccepting()
	err := p.serveOut(ctx)
	p.tunnels.closeAll(p.options.Load().CloseSpread)
	cut := p.cut()
	p.awaitCut()
	if err != nil {
		return fmt.Errorf("shutdown: cut %d connections: %w", cut, err)
	}
	return nil
}

// stopAccepting closes the listeners and waits until no connection can come.
func (p *Proxy) stopAccepting() {
	p.mu.Lock()
	p.closing.Store(true)
	for l := range p.listeners {
		l.Close()
	}
	p.mu.Unlock()
	p.serving.Wait()
}

// serveOut waits until every connection has ended by itself, or was quiet.
func (p *Proxy) serveOut(ctx context.Context) error {
	look := time.NewTicker(quietGrace / 10)
	defer look.Stop()
	for p.closeQuiet()+p.tunnels.len() > 0 {
		select {
		case <-p.changed:
		case <-look.C: // a connection may have been quiet for long enough, a tunnel gone
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// closeQuiet closes the connections on which nothing is under way, nor was just
// now, and returns how many are left.
func (p *Proxy) closeQuiet() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, s := range p.conns {
		if s.ConnState != http.StateActive && time.Since(s.since) >= quietGrace {
			c.leave() // its goroutine takes it out of conns
		}
	}
	return len(p.conns)
}

// cut ends what is left and returns how many connections that were.
func (p *Proxy) cut() int {
	n := p.tunnels.cutAll() + p.connections()
	p.cancel()
	if u := p.active.Load(); u != nil {
		u.closeIdle()
	}
	if err := p.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		p.report(fmt.Errorf("shutdown: %w", err))
	}
	return n
}

// awaitCut waits for the requests that were cut to be gone.
func (p *Proxy) awaitCut() {
	timeout := time.NewTimer(cutGrace)
	defer timeout.Stop()
	for p.connections() > 0 {
		select {
		case <-p.changed:
		case <-timeout.C:
			return
		}
	}
}

func (p *Proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}
