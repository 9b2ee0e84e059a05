package load

import (
	"bufio"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A conn is one connection to the target, for one request after the other.
type conn struct {
	net.Conn
	in   *bufio.Reader
	used bool // has carried a request
}

// exchange writes a request and reads the head of its answer. It is the only
// place that writes, and it writes once.
func (c *conn) exchange(request []byte, method string) (*http.Response, *Failure) {
	reused := c.used
	c.used = true
	_, writeErr := c.Write(request)
	if _, err := c.in.Peek(1); err != nil && writeErr != nil {
		return nil, writeFailure(writeErr, reused)
	} else if err != nil {
		return nil, headFailure(err, reused, false)
	}
	// An answer that came before the request was written whole is the answer.
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return nil, headFailure(c.cause(err), reused, true)
	}
	return resp, nil
}

// cause is why a head could not be read: a line that ends with the connection
// looks malformed, but it was cut.
func (c *conn) cause(err error) error {
	if _, end := c.in.Peek(1); end != nil {
		return end
	}
	return err
}

// ended reports whether the server has closed the connection while nothing
// was asked of it, which RFC 9112 §9.5 allows.
func (c *conn) ended() bool {
	if c.in.Buffered() > 0 {
		return false
	}
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	n, peekErr := 0, error(nil)
	err = raw.Read(func(fd uintptr) bool {
		n, _, peekErr = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	return err != nil || peekErr == nil && n == 0 || peekErr == unix.ECONNRESET
}

func (c *conn) deadline(d time.Duration) { c.SetDeadline(time.Now().Add(d)) }
