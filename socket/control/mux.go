package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"time"
)

// Options of a Mux. A limit that is 0 has its default.
type Options struct {
	// OnError is told of every error that is answered. Command is "" when the
	// line had none that exists. It is called from many goroutines.
	OnError func(peer Peer, command string, err error)
	// OnConnError is told when a connection fails or is turned away.
	OnConnError func(peer Peer, err error)

	// Otherwise is the error that answers a command without a handler; by default
	// that it does not exist. The context is as that of a handler.
	Otherwise func(ctx context.Context, command string) error

	MaxLine     int // bytes of a line; 1 MiB
	MaxConns    int // open at once; 256. One more is answered busy and closed
	MaxInFlight int // commands at once on a connection; 64. Further ones are read later

	// LineTimeout is how long the first line, and any line once begun, may take
	// to arrive while no command runs on the connection; 60 s.
	LineTimeout time.Duration
	// IdleTimeout is how long a connection may rest between commands; 15 min.
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may not read while there is something
	// for it; 10 s. Then it loses its connection.
	WriteTimeout time.Duration
}

func (o Options) withDefaults() Options {
	o.MaxLine = cmp.Or(o.MaxLine, 1<<20)
	o.MaxConns = cmp.Or(o.MaxConns, 256)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 64)
	o.LineTimeout = cmp.Or(o.LineTimeout, 60*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 15*time.Minute)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	if o.Otherwise == nil {
		o.Otherwise = func(_ context.Context, command string) error { return unknown(command) }
	}
	if o.OnError == nil {
		o.OnError = func(Peer, string, error) {}
	}
	if o.OnConnError == nil {
		o.OnConnError = func(Peer, error) {}
	}
	return o
}

// A handler runs one command and returns its result, or an error.
type handler func(ctx context.Context, f fields, progress func(any)) (any, error)

// A Mux answers the commands that arrive on its listeners.
type Mux struct {
	opt      Options
	handlers map[string]handler // not changed once Serve is called
	serving  sync.WaitGroup     // a Serve or a connection each
	closed   chan struct{}

	mu        sync.Mutex // guards what follows
	closing   bool
	listeners map[net.Listener]bool
	conns     map[*conn]bool
}

// NewMux returns a Mux without commands.
func NewMux(opt Options) *Mux {
	return &Mux{
		opt:       opt.withDefaults(),
		handlers:  make(map[string]handler),
		closed:    make(chan struct{}),
		listeners: make(map[net.Listener]bool),
		conns:     make(map[*conn]bool),
	}
}

// Handle makes h answer the command. A is a struct; of a request, the fields it
// names by its json tags are decoded into it, strictly by type. R becomes a JSON
// object, whose fields follow the answer's status. Both must not have fields
// named status or id. Call it before Serve.
//
// The context of h carries its Peer and does not end when the client leaves: a
// command belongs to the daemon. A command that only makes sense for a client
// that listens watches Gone. progress sends a step to a client that asked for
// it, else does nothing; it waits while the client does not read, at most
// Options.WriteTimeout, and can be called from several goroutines.
func Handle[A, R any](m *Mux, command string, h func(ctx context.Context, args A, progress func(any)) (R, error)) {
	if reflect.TypeFor[A]().Kind() != reflect.Struct {
		panic(fmt.Sprintf("control: arguments of %s are no struct", command))
	}
	if m.handlers[command] != nil {
		panic(fmt.Sprintf("control: command %s has a handler", command))
	}
	m.handlers[command] = func(ctx context.Context, f fields, progress func(any)) (any, error) {
		var args A
		if err := f.into(reflect.ValueOf(&args).Elem()); err != nil {
			return nil, err
		}
		return h(ctx, args, progress)
	}
}

// Serve answers on l until Close, then returns nil; another error means that l
// broke. It can be called for several listeners at once.
func (m *Mux) Serve(l net.Listener) error {
	if !m.addListener(l) {
		return l.Close()
	}
	defer m.serving.Done()
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			m.admit(nc)
		case m.isClosing():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors or memory: others may give some back
			m.opt.OnConnError(nobody, fmt.Errorf("accept a control connection: %w", err))
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			m.rest(pause)
		}
	}
}

// rest waits, but not longer than until Close.
func (m *Mux) rest(d time.Duration) {
	select {
	case <-time.After(d):
	case <-m.closed:
	}
}

// Close stops accepting, which removes the socket file, and first ends every
// connection without an answer, but for the one that the command of keep came
// by, if keep is a command's context: that command is still answered, then its
// connection ends too. No further line is handled on it. Commands under way are
// not cancelled, but see their client Gone. The error is that of closing the
// listeners. Only the first call does anything.
func (m *Mux) Close(keep context.Context) error {
	m.mu.Lock()
	if m.closing {
		m.mu.Unlock()
		return nil
	}
	m.closing = true
	close(m.closed)
	kept := callOf(keep)
	for c := range m.conns {
		if kept != nil && kept.conn == c {
			c.endAfter(kept)
		} else {
			c.leave()
		}
	}
	m.mu.Unlock() // no listener is added from here on
	var errs []error
	for l := range m.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Wait returns when, after Close, all commands have ended and the kept one's
// answer is with its client, so that the process may exit. Do not call it from
// a command.
func (m *Mux) Wait() {
	<-m.closed
	m.serving.Wait()
}

// Gone is closed when the client of the command that ctx belongs to cannot get
// anything any more. It is nil, and so never closed, when ctx is not a command's.
func Gone(ctx context.Context) <-chan struct{} {
	if k := callOf(ctx); k != nil {
		return k.conn.gone
	}
	return nil
}

func (m *Mux) isClosing() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closing
}

func (m *Mux) addListener(l net.Listener) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return false
	}
	m.listeners[l] = true
	m.serving.Add(1)
	return true
}

// admit serves a new connection, or turns it away.
func (m *Mux) admit(nc net.Conn) {
	c := newConn(m, nc)
	m.mu.Lock()
	ok := !m.closing
	full := len(m.conns) >= m.opt.MaxConns
	if ok && !full {
		m.conns[c] = true
		m.serving.Add(1)
	}
	m.mu.Unlock()
	switch {
	case !ok:
		nc.Close()
	case full:
		c.turnAway()
	default:
		go c.serve()
	}
}

func (m *Mux) forget(c *conn) {
	m.mu.Lock()
	delete(m.conns, c)
	m.mu.Unlock()
	m.serving.Done()
}
