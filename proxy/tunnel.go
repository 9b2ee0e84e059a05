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
// begin, so that it can end both directions with a Close frame.
type tunnel struct {
	client, backend end
	done            chan struct{}

	mu      sync.Mutex // guards what follows, and the deadlines of both ends
	closing bool
	cut     bool
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
	conn.SetDeadline(time.Now().Add(bodyTimeout))
	if _, err := conn.Write(upgradeHead(v.upgraded.Header)); err != nil {
		return // the client is gone
	}
	conn.SetDeadline(time.Time{})
	t := &tunnel{
		client:  end{conn.(halfConn), buffered},
		backend: end{v.conn, v.upgraded.Body},
		done:    make(chan struct{}),
	}
	v.at.tunnels.add(t)
	v.proxy.tunnels.add(t)
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

// pump carries bytes from src to dst. It is the only writer of dst, so nothing
// else can put bytes into the middle of a frame.
func (t *tunnel) pump(dst, src end, masked bool) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	var f frames
	for {
		n, err := src.reader.Read(buf)
		if n > 0 {
			if _, werr := dst.conn.Write(buf[:n]); werr != nil {
				t.half(dst, src)
				return
			}
			f.pass(buf[:n])
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && t.isClosing() {
			t.depart(dst, src, &f, masked, buf)
			return
		}
		t.half(dst, src)
		return
	}
}

// half ends one direction, and gives the other a moment to end too.
func (t *tunnel) half(dst, src end) {
	dst.conn.CloseWrite()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return // close has set the deadlines
	}
	dst.conn.SetReadDeadline(time.Now().Add(halfGrace))
	src.conn.SetWriteDeadline(time.Now().Add(halfGrace))
}

// depart carries the frame under way to its end, sends a Close frame and ends
// the direction. What src still sends is read and dropped: closing with unread
// bytes would reset the connection, and take the Close frame with it.
func (t *tunnel) depart(dst, src end, f *frames, masked bool, buf []byte) {
	if !t.extend(src, frameGrace) || !finishFrame(dst, src, f, buf) {
		return
	}
	if !f.ended {
		if _, err := dst.conn.Write(closeFrame(masked)); err != nil {
			return
		}
	}
	dst.conn.CloseWrite()
	if t.extend(src, closeGrace) {
		io.CopyBuffer(io.Discard, struct{ io.Reader }{src.reader}, buf)
	}
}

// extend gives src time d to send, unless the tunnel is cut.
func (t *tunnel) extend(src end, d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return false
	}
	src.conn.SetReadDeadline(time.Now().Add(d))
	return true
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

// close makes both pumps depart; done tells when they have.
func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return
	}
	t.closing = true
	now := time.Now()
	for _, e := range []end{t.client, t.backend} {
		e.conn.SetReadDeadline(now)
		e.conn.SetWriteDeadline(now.Add(frameGrace + time.Second))
	}
}

func (t *tunnel) isClosing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closing
}

// cutOff ends the tunnel at once.
func (t *tunnel) cutOff() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing, t.cut = true, true
	t.client.conn.Close()
	t.backend.conn.Close()
}
