package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// queued is how many lines wait for a slow client besides what the kernel
	// holds for it.
	queued = 32
	// writePiece is what a client must be able to take within WriteTimeout.
	writePiece = 64 << 10
	// discardTime bounds the reading away of a line that was too long. A client
	// that writes first and reads then would not see its answer otherwise.
	discardTime = 5 * time.Second
)

// past is a deadline that wakes a reader at once.
var past = time.Unix(1, 0)

// A conn is one client's connection. One goroutine reads lines, one writes, and
// each command has its own.
type conn struct {
	mux   *Mux
	nc    net.Conn
	raw   syscall.RawConn // nil when nc is no socket
	peer  Peer
	calls sync.WaitGroup
	out   chan message  // closed when nothing more can come
	gone  chan struct{} // closed when nothing can reach the client any more
	leave func()        // closes gone and the connection
	freed chan struct{} // a command has ended; only without raw

	mu       sync.Mutex // guards what follows, and the read deadline
	inFlight int
	served   bool  // a line has come
	begun    bool  // a line has begun
	parked   bool  // the reader waits for commands to end
	deaf     bool  // no further line is handled, the deadline is not ours
	last     *call // its answer ends the connection
}

// A message is a line to write.
type message struct {
	line []byte
	of   *call // the command it answers, or nil
}

func newConn(m *Mux, nc net.Conn) *conn {
	c := &conn{
		mux:   m,
		nc:    nc,
		raw:   rawConn(nc),
		out:   make(chan message, queued),
		gone:  make(chan struct{}),
		freed: make(chan struct{}, 1),
	}
	c.peer = peerCredentials(c.raw)
	c.leave = sync.OnceFunc(func() { close(c.gone); nc.Close() })
	return c
}

// serve lasts until the client has left and its commands have ended.
func (c *conn) serve() {
	defer c.mux.forget(c)
	var writing sync.WaitGroup
	writing.Go(c.write)
	c.read()
	c.calls.Wait()
	close(c.out)
	writing.Wait()
	c.leave()
}

// turnAway answers busy. The line fits into the empty buffer of a socket.
func (c *conn) turnAway() {
	defer c.leave()
	err := &Error{
		Code:    CodeBusy,
		Message: fmt.Sprintf("too many control connections, %d are open", c.mux.opt.MaxConns),
		Hint:    "try again, or end clients that keep connections open",
	}
	c.mux.opt.OnConnError(c.peer, err)
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.nc.Write(errorLine(nil, err))
}

// read starts a command for each line, until the client ends its half.
func (c *conn) read() {
	buffer := lines{max: c.mux.opt.MaxLine}
	piece := make([]byte, 16<<10)
	c.setDeadline()
	for {
		n, err := c.nc.Read(piece)
		complete, tooLong := buffer.add(piece[:n])
		for _, line := range complete {
			if !c.start(line) {
				return
			}
		}
		if tooLong {
			c.refuseLine(buffer.rest)
			return
		}
		if err != nil {
			c.ended(err)
			return
		}
		c.setBegun(buffer.begun())
	}
}

// start runs the command of a line as soon as one more may run. It is false when
// no line is to be handled any more.
func (c *conn) start(line []byte) bool {
	deaf := false
	claimed := c.park(func() bool {
		if deaf = c.deaf; deaf {
			return true
		}
		if c.inFlight >= c.mux.opt.MaxInFlight {
			return false
		}
		c.inFlight++
		c.served, c.begun = true, false
		return true
	})
	if deaf || !claimed {
		return false
	}
	c.calls.Go(func() {
		defer c.finish()
		(&call{conn: c}).run(line)
	})
	return true
}

func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	if !c.parked {
		c.setDeadlineLocked()
		return
	}
	c.nc.SetReadDeadline(past) // stays until the reader has seen it
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// park waits until ready, asked under the lock whenever a command ends, says so.
// It is false when the client hung up first.
func (c *conn) park(ready func() bool) bool {
	for {
		c.mu.Lock()
		if ready() {
			c.parked = false
			c.setDeadlineLocked()
			c.mu.Unlock()
			return true
		}
		c.parked = true
		c.nc.SetReadDeadline(time.Time{})
		c.mu.Unlock()
		if c.awaitHangup() {
			c.leave()
			return false
		}
	}
}

// awaitHangup is true when the client hung up, false when a command ended. Only
// a socket can tell a client that closed from one that ended its half.
func (c *conn) awaitHangup() bool {
	if c.raw == nil {
		select {
		case <-c.freed:
			return false
		case <-c.gone:
			return true
		}
	}
	err := c.raw.Read(hungUp)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// ended handles the end of what the client sends. One that ended only its half
// still gets its answers.
func (c *conn) ended(err error) {
	switch {
	case errors.Is(err, io.EOF):
		c.park(func() bool { return c.inFlight == 0 })
		return
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
	default:
		c.mux.opt.OnConnError(c.peer, err)
	}
	c.leave()
}

// refuseLine answers a line that is too long, and handles no other one. rest is
// what has been read and not looked at.
func (c *conn) refuseLine(rest []byte) {
	err := invalid("Control line is longer than %d bytes", c.mux.opt.MaxLine)
	c.mux.opt.OnError(c.peer, "", err)
	c.send(message{line: errorLine(nil, err)})
	c.mu.Lock()
	c.deaf = true
	c.nc.SetReadDeadline(time.Now().Add(discardTime))
	c.mu.Unlock()
	discardLine(rest, c.nc)
}

// discardLine reads to the end of the line.
func discardLine(rest []byte, r io.Reader) {
	piece := make([]byte, writePiece)
	for bytes.IndexByte(rest, '\n') < 0 {
		n, err := r.Read(piece)
		if err != nil {
			return
		}
		rest = piece[:n]
	}
}

// endAfter makes the answer of k the last thing that happens on the connection.
func (c *conn) endAfter(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf, c.last = true, k
}

func (c *conn) isLast(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return k != nil && c.last == k
}

// setBegun starts the clock of a line when its first byte has come. That of the
// first line runs since the connection is there.
func (c *conn) setBegun(begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun == begun {
		return
	}
	c.begun = begun
	if c.served {
		c.setDeadlineLocked()
	}
}

func (c *conn) setDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setDeadlineLocked()
}

func (c *conn) setDeadlineLocked() {
	switch opt := c.mux.opt; {
	case c.deaf:
	case c.inFlight > 0:
		c.nc.SetReadDeadline(time.Time{})
	case c.begun || !c.served:
		c.nc.SetReadDeadline(time.Now().Add(opt.LineTimeout))
	default:
		c.nc.SetReadDeadline(time.Now().Add(opt.IdleTimeout))
	}
}

// send hands a line to the writer, waiting while the client does not read; the
// writer gives such a client up.
func (c *conn) send(m message) {
	select {
	case c.out <- m:
	case <-c.gone:
	}
}

func (c *conn) write() {
	for m := range c.out {
		if err := c.writeLine(m.line); err != nil {
			c.writeFailed(err)
			return
		}
		if c.isLast(m.of) {
			c.leave()
			return
		}
	}
}

func (c *conn) writeLine(line []byte) error {
	for len(line) > 0 {
		n := min(len(line), writePiece)
		c.nc.SetWriteDeadline(time.Now().Add(c.mux.opt.WriteTimeout))
		if _, err := c.nc.Write(line[:n]); err != nil {
			return err
		}
		line = line[n:]
	}
	return nil
}

func (c *conn) writeFailed(err error) {
	defer c.leave()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("client did not read for %v, its connection was closed", c.mux.opt.WriteTimeout)
	case errors.Is(err, net.ErrClosed):
		return
	}
	c.mux.opt.OnConnError(c.peer, err)
}
