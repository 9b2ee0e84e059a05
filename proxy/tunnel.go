package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	frameGrace = 2 * time.Second // for a frame under way to end, when the tunnel is closed
	closeGrace = 2 * time.Second // for the peer to take the Close frame and go
	halfGrace  = 5 * time.Second // for one direction to end after the other has
)

// A tunnel carries the bytes of a WebSocket both ways and knows where frames
// begin, so that it can end both directions with a Close frame. It ends them
// together: a peer that has a Close frame may hang up, in the middle of what it
// was sending.
type tunnel struct {
	client, backend end
	done            chan struct{}

	mu       sync.Mutex // guards what follows, and the deadlines of both ends
	closing  bool
	deadline time.Time // when what is left is cut, once closing

	arrival sync.Mutex // guards what follows
	arrived []farewell // of directions in which nothing more is carried
}

// A farewell is how one direction ends.
type farewell struct {
	to     end
	frame  bool // at a frame boundary: a Close frame may be written
	masked bool
}

// end is one side of a tunnel.
type end struct {
	conn   halfConn
	reader io.Reader // of conn, and of what was read from it before
}

type halfConn interface {
	net.Conn
	CloseWrite() error
}

// tunnel takes the connection of an upgraded request over until both ends are
// closed.
func (v *visit) tunnel(a *answer) {
	defer v.upgraded.Body.Close()
	conn, buffered, err := a.control.Hijack()
	if err != nil {
		v.report(fmt.Errorf("websocket: take over the connection: %w", err))
		return
	}
	defer conn.Close()
	client := conn.(*clientConn)
	defer v.proxy.forget(client)
	conn.SetDeadline(time.Now().Add(bodyTimeout))
	if _, err := conn.Write(upgradeHead(v.upgraded.Header)); err != nil {
		return // the client is gone
	}
	conn.SetDeadline(time.Time{})
	t := &tunnel{
		client:  end{client, buffered},
		backend: end{v.conn.halfConn, v.upgraded.Body},
		done:    make(chan struct{}),
	}
	v.at.tunnels.add(t)
	v.proxy.tunnels.add(t)
	v.proxy.forget(client)
	defer v.at.tunnels.remove(t)
	defer v.proxy.tunnels.remove(t)
	t.run()
}

// upgradeHead is the head of the answer that begins the tunnel.
func upgradeHead(h http.Header) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Content-Length", "Te", "Trailer"} {
		h.Del(name)
	}
	h.Set("Connection", "Upgrade")
	h.Write(&b)
	b.WriteString("\r\n")
	return b.Bytes()
}

// run carries bytes until both directions have ended, then closes both ends.
func (t *tunnel) run() {
	defer close(t.done)
	var pumps sync.WaitGroup
	pumps.Go(func() { t.pump(t.backend, t.client, true) })
	pumps.Go(func() { t.pump(t.client, t.backend, false) })
	pumps.Wait()
	t.client.conn.Close()
	t.backend.conn.Close()
}

// pump carries bytes from src to dst until src has ended or the tunnel closes.
func (t *tunnel) pump(dst, src end, masked bool) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	var f frames
	if err := carry(dst, src, &f, buf); errors.Is(err, os.ErrDeadlineExceeded) && t.isClosing() {
		t.extend(src, frameGrace)
		whole := finishFrame(dst, src, &f, buf)
		t.arrive(farewell{dst, whole && !f.ended, masked})
		t.discard(src, buf)
		return
	}
	t.arrive(farewell{to: dst})
	t.half(dst, src)
}

// carry copies until src or dst fails. No other goroutine writes to dst, so
// nothing gets into the middle of a frame.
func carry(dst, src end, f *frames, buf []byte) error {
	for {
		n, err := src.reader.Read(buf)
		if n > 0 {
			if _, err := dst.conn.Write(buf[:n]); err != nil {
				return fmt.Errorf("write: %s", err) // a time-out here is no call to close
			}
			f.pass(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

// arrive ends one direction; in the second both get their Close frames, if the
// tunnel is closing.
func (t *tunnel) arrive(f farewell) {
	t.arrival.Lock()
	defer t.arrival.Unlock()
	t.arrived = append(t.arrived, f)
	if !f.frame && !t.isClosing() {
		f.to.conn.CloseWrite()
	}
	if len(t.arrived) < 2 {
		return
	}
	for _, f := range t.arrived {
		if f.frame {
			f.to.conn.Write(closeFrame(f.masked))
		}
		f.to.conn.CloseWrite()
	}
}

// half gives the other direction a moment to end, after this one has.
func (t *tunnel) half(dst, src end) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return // close has set the deadlines
	}
	dst.conn.SetReadDeadline(time.Now().Add(halfGrace))
	src.conn.SetWriteDeadline(time.Now().Add(halfGrace))
}

// discard reads what src still sends, until it ends. Closing with unread bytes
// would reset the connection, and take the Close frame with it.
func (t *tunnel) discard(src end, buf []byte) {
	t.extend(src, frameGrace+closeGrace)
	io.CopyBuffer(io.Discard, struct{ io.Reader }{src.reader}, buf)
}

// extend gives src time d to send, but not beyond the end of the tunnel.
func (t *tunnel) extend(src end, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := time.Now().Add(d)
	if limit.After(t.deadline) {
		limit = t.deadline
	}
	src.conn.SetReadDeadline(limit)
}

// finishFrame carries bytes up to the first frame boundary.
func finishFrame(dst, src end, f *frames, buf []byte) bool {
	for !f.atBoundary() {
		n, err := src.reader.Read(buf)
		n = f.advance(buf[:n])
		if _, werr := dst.conn.Write(buf[:n]); werr != nil {
			return false
		}
		if err != nil {
			return f.atBoundary()
		}
	}
	return true
}

// close ends both directions; done tells when they have.
func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return
	}
	t.closing = true
	now := time.Now()
	t.deadline = now.Add(frameGrace + closeGrace)
	for _, e := range []end{t.client, t.backend} {
		e.conn.SetReadDeadline(now) // wakes the pumps
		e.conn.SetWriteDeadline(t.deadline)
	}
}

func (t *tunnel) isClosing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closing
}

// cutOff ends the tunnel at once.
func (t *tunnel) cutOff() {
	t.client.conn.Close()
	t.backend.conn.Close()
}
