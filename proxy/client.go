package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A clientConn is an accepted connection. It hands on only complete request
// heads that the framer has passed; in place of another it hands on something
// that makes the server answer 400 or 431, in its turn, and close.
type clientConn struct {
	net.Conn
	proxy  *Proxy
	framer framer
	held   []byte // read and not handed on
	passed int    // bytes of held that may go on
	broken error  // what the framer refused

	refused atomic.Bool // the client got, or gets, an answer from the server itself
	closed  sync.Once

	mu      sync.Mutex // guards what follows
	waiting bool       // reads at a request's start, with nothing held
	leaving bool       // the read was told to end
}

// readAhead is how much is read at once behind an unfinished head.
const readAhead = 4 << 10

func (c *clientConn) Read(p []byte) (int, error) {
	for {
		switch {
		case c.passed > 0:
			return c.take(p), nil
		case c.broken != nil:
			return c.refuse(p)
		case len(c.held) > 0:
			if err := c.readMore(); err != nil {
				return 0, err
			}
		default:
			if n, err := c.readThrough(p); n > 0 || err != nil {
				return n, err
			}
		}
	}
}

// take hands on what was held.
func (c *clientConn) take(p []byte) int {
	n := copy(p, c.held[:c.passed])
	c.held = c.held[n:]
	c.passed -= n
	if len(c.held) == 0 {
		c.held = nil
	}
	return n
}

// readThrough reads into p, and holds back the beginning of a head. When it
// returns nothing, there is something held or refused.
func (c *clientConn) readThrough(p []byte) (int, error) {
	n, err := c.readStart(p)
	if n == 0 {
		return 0, err
	}
	passed, broken := c.framer.pass(p[:n])
	c.broken = broken
	c.held = append(c.held, p[passed:n]...)
	return passed, nil // an error comes again
}

// readStart reads what may be the first bytes of a request. Shutdown can end
// that, but not lose a request: what has come is read all the same.
func (c *clientConn) readStart(p []byte) (int, error) {
	if !c.framer.atStart() {
		return c.Conn.Read(p)
	}
	for {
		c.setWaiting()
		n, err := c.Conn.Read(p)
		if !c.stopWaiting() {
			return n, err
		}
		if n == 0 && !hasInput(c.Conn) {
			return 0, io.EOF
		}
		c.Conn.SetReadDeadline(time.Now().Add(headTimeout))
		if n > 0 {
			return n, nil
		}
	}
}

// setWaiting tells Shutdown that the connection may be between two requests.
func (c *clientConn) setWaiting() {
	c.mu.Lock()
	c.waiting = true
	c.mu.Unlock()
	c.proxy.notify()
}

// stopWaiting reports whether leave has ended the wait.
func (c *clientConn) stopWaiting() (left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left = c.leaving
	c.waiting, c.leaving = false, false
	return left
}

// leave ends the connection, unless something of a request has come.
func (c *clientConn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting && !c.leaving && !hasInput(c.Conn) {
		c.leaving = true
		c.Conn.SetReadDeadline(time.Now())
	}
}

// readMore reads what follows an unfinished head.
func (c *clientConn) readMore() error {
	start := len(c.held)
	if cap(c.held)-start < readAhead/4 {
		c.held = append(make([]byte, 0, 2*start+readAhead), c.held...)
	}
	n, err := c.Conn.Read(c.held[start:cap(c.held)])
	c.held = c.held[:start+n]
	if n == 0 {
		return err
	}
	c.passed, c.broken = c.framer.pass(c.held)
	return nil
}

// refuse is what the server reads in place of a refused request. A head that
// is too long goes on for ever; one that is malformed is no head at all. The
// body of a request that is under way just breaks.
func (c *clientConn) refuse(p []byte) (int, error) {
	switch {
	case !c.framer.atStart():
		return 0, c.broken
	case errors.Is(c.broken, errLongHead):
		return c.endless(p), nil
	case c.refused.Swap(true):
		return 0, io.EOF
	}
	c.held = []byte(" \r\n\r\n")
	c.passed = len(c.held)
	return c.take(p), nil
}

// endless is the beginning of the head that is too long, and more of it than
// any server reads.
func (c *clientConn) endless(p []byte) int {
	if !c.refused.Swap(true) {
		c.held = c.held[:min(len(c.held), maxHead)]
	}
	if n := copy(p, c.held); n > 0 {
		c.held = c.held[n:]
		return n
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p)
}

// CloseWrite ends our direction.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// Close closes the connection. A refused client gets a moment to read why:
// closing at once, with unread bytes, would take the answer away again.
func (c *clientConn) Close() error {
	if !c.refused.Load() {
		return c.Conn.Close()
	}
	c.closed.Do(func() { go c.linger() })
	return nil
}

func (c *clientConn) linger() {
	defer c.Conn.Close()
	c.CloseWrite()
	c.Conn.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, io.LimitReader(c.Conn, 1<<20))
}

// hasInput reports whether bytes wait to be read from conn.
func hasInput(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && n > 0
}
