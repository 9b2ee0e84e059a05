package socket

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A Listener listens on a stream socket, and can prove that whoever accepts
// connections from it is still at it. Its methods may be called concurrently.
type Listener struct {
	socket stream

	mu    sync.Mutex    // guards what follows, and the socket's deadline
	step  chan struct{} // closed at the next step of Accept; nil when nobody waits for it
	woken time.Time     // when that was last done
}

// stream is what a *net.TCPListener and a *net.UnixListener can do.
type stream interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// beatPause lets Accept take what waits between two beats, however many are
// asked for.
const beatPause = time.Millisecond

func newListener(s stream) *Listener { return &Listener{socket: s} }

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.socket.Accept()
		l.stepped()
		if !errors.Is(err, os.ErrDeadlineExceeded) { // nobody but Beat sets a deadline
			return conn, err
		}
	}
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Close stops listening. The file of a Unix socket is removed by who has made
// it: never when that was systemd.
func (l *Listener) Close() error { return l.socket.Close() }

// Beat returns nil when Accept has made a step since: it was woken, without a
// connection being touched, or had a connection or an error to return. When
// Accept is not being called Beat waits, and returns the cause of ctx's end.
func (l *Listener) Beat(ctx context.Context) error {
	step, err := l.wake()
	if err != nil {
		return err
	}
	select {
	case <-step:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wake has Accept return at once, by a deadline that is over.
func (l *Listener) wake() (step <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.step == nil {
		if err := l.socket.SetDeadline(l.woken.Add(beatPause)); err != nil {
			return nil, err
		}
		l.step = make(chan struct{})
	}
	return l.step, nil
}

// stepped tells those who wait for it that Accept has made a step.
func (l *Listener) stepped() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.step == nil {
		return
	}
	l.woken = time.Now()
	l.socket.SetDeadline(time.Time{}) // fails on a closed socket alone
	close(l.step)
	l.step = nil
}
