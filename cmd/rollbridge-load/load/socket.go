package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

const (
	echoEvery   = 200 * time.Millisecond
	closeWithin = 5 * time.Second
)

// useSocket opens a WebSocket, has a few messages sent back, and closes it.
func (l *Load) useSocket(ctx context.Context) (release string, f *Failure) {
	conn, release, f := l.openSocket(ctx)
	if f != nil {
		return release, f
	}
	defer conn.Close()
	for _, size := range []int{5, 300, 70_000} {
		if f := echo(conn, bytes.Repeat([]byte{byte(size)}, size)); f != nil {
			return release, f
		}
	}
	return release, closeSocket(conn)
}

// openSocket connects and reads the announcement of the release.
func (l *Load) openSocket(ctx context.Context) (*websocket.Conn, string, *Failure) {
	dialer := websocket.Dialer{
		HandshakeTimeout: l.opt.Timeout,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&net.Dialer{Timeout: connectWithin}).DialContext(ctx, network, addr)
		},
	}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+l.opt.Target+"/ws", nil)
	if err != nil && resp != nil {
		return nil, "", failed(badStatus(resp.StatusCode), "instead of a WebSocket")
	}
	if err != nil {
		return nil, "", handshakeFailure(err)
	}
	conn.SetReadDeadline(time.Now().Add(l.opt.Timeout))
	conn.SetWriteDeadline(time.Now().Add(l.opt.Timeout))
	_, hello, err := conn.ReadMessage()
	if err != nil {
		conn.Close()
		return nil, "", socketFailure(err)
	}
	release, ok := bytes.CutPrefix(hello, []byte("release "))
	if !ok {
		conn.Close()
		return nil, "", failed(SocketWrongEcho, "the first message is %.60q", hello)
	}
	return conn, string(release), nil
}

func handshakeFailure(err error) *Failure {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return connectFailure(err)
	}
	if isEOF(err) || isReset(err) || isTimeout(err) {
		return transferFailure(err, EOFBeforeResponse, "handshake")
	}
	return failed(SocketRefused, "%v", err)
}

// socketFailure is for a WebSocket that ended when it should have gone on.
func socketFailure(err error) *Failure {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return failed(badCloseCode(closed.Code), "%v", err)
	}
	if isTimeout(err) {
		return failed(Timeout, "%v", err)
	}
	return failed(SocketCut, "%v", err)
}

func echo(conn *websocket.Conn, message []byte) *Failure {
	if err := conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
		return socketFailure(err)
	}
	_, back, err := conn.ReadMessage()
	if err != nil {
		return socketFailure(err)
	}
	if !bytes.Equal(back, message) {
		return failed(SocketWrongEcho, "sent %d bytes, got %d others back", len(message), len(back))
	}
	return nil
}

// closeSocket makes the closing handshake.
func closeSocket(conn *websocket.Conn) *Failure {
	sendClose(conn)
	_, _, err := conn.ReadMessage()
	if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		return nil
	}
	return socketFailure(err)
}

func sendClose(conn *websocket.Conn) {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(closeWithin)) // a failure shows when reading
}

// A held is a WebSocket that stays open until the drain deadline of its
// release, with a message to and fro now and then.
type held struct {
	load     *Load
	epoch    *epoch
	conn     *websocket.Conn
	incoming chan string
	ended    chan ending // one ending; buffered
	sent     int
	waiting  bool // for the echo of message number sent
	closing  bool // we have asked for the end
}

type ending struct {
	err error
	at  time.Time
}

// hold keeps a WebSocket of e's release open until it is closed for us.
func (l *Load) hold(e *epoch, quit <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), l.opt.Timeout)
	defer cancel()
	started := time.Now()
	conn, release, f := l.openSocket(ctx)
	if f == nil {
		f = l.judge(e, release)
	}
	if f != nil {
		l.rec.addSocket(result{HeldSocket, started, time.Now(), release, f})
		return
	}
	defer conn.Close()
	if release != e.release {
		return // a switch came before it was open: whose it is cannot be told
	}
	conn.SetReadDeadline(time.Time{})
	conn.SetWriteDeadline(time.Time{})
	h := &held{load: l, epoch: e, conn: conn, incoming: make(chan string), ended: make(chan ending, 1)}
	stop := make(chan struct{})
	defer close(stop)
	go h.read(stop)
	l.rec.socketOpened()
	f = h.run(quit)
	l.rec.addSocket(result{HeldSocket, started, time.Now(), release, f})
}

// read delivers messages until the WebSocket ends. It reads all the time, as a
// browser does, so that a Close frame is seen when it comes.
func (h *held) read(stop <-chan struct{}) {
	for {
		_, message, err := h.conn.ReadMessage()
		if err != nil {
			h.ended <- ending{err, time.Now()}
			return
		}
		select {
		case h.incoming <- string(message):
		case <-stop:
			return
		}
	}
}

func (h *held) run(quit <-chan struct{}) *Failure {
	tick := time.NewTicker(echoEvery)
	defer tick.Stop()
	var overdue <-chan time.Time
	for {
		select {
		case end := <-h.ended:
			return h.judge(end)
		case message := <-h.incoming:
			if f := h.receive(message); f != nil {
				return f
			}
			overdue = nil
		case <-tick.C:
			if !h.waiting && !h.closing {
				h.send()
				overdue = time.After(h.load.opt.Timeout)
			}
		case <-overdue:
			return failed(Timeout, "no echo of message %d", h.sent)
		case <-quit:
			quit, h.closing = nil, true
			sendClose(h.conn)
			overdue = time.After(closeWithin)
		}
	}
}

// send writes a message; that it cannot be written shows up when reading.
func (h *held) send() {
	h.sent++
	h.waiting = true
	h.conn.SetWriteDeadline(time.Now().Add(h.load.opt.Timeout))
	h.conn.WriteMessage(websocket.TextMessage, []byte(h.text()))
}

func (h *held) text() string { return fmt.Sprintf("message %d", h.sent) }

func (h *held) receive(message string) *Failure {
	if !h.waiting || message != h.text() {
		return failed(SocketWrongEcho, "%.60q is not %q", message, h.text())
	}
	h.waiting = false
	h.load.rec.socketEcho()
	return nil
}

// judge says whether the end was right: ours, or a Close frame with 1012
// (service restart) after the drain deadline of the release.
func (h *held) judge(end ending) *Failure {
	switch {
	case h.closing && websocket.IsCloseError(end.err, websocket.CloseNormalClosure):
		return nil
	case !websocket.IsCloseError(end.err, websocket.CloseServiceRestart):
		return socketFailure(end.err)
	}
	left := h.epoch.left.Load()
	if left == 0 {
		return failed(SocketEarly, "closed while its release %q is the active one", h.epoch.release)
	}
	// The drain begins after the deploy did, so this never accuses wrongly.
	if age := end.at.Sub(time.Unix(0, left)); age < h.load.opt.Drain {
		return failed(SocketEarly, "closed %v after the switch began, its release drains %v", age, h.load.opt.Drain)
	}
	h.load.rec.socketDrained()
	return nil
}
