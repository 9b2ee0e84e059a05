package load

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// A client makes one request after the other, most of them on one connection.
type client struct {
	load  *Load
	round *round
	rand  *rand.Rand
	next  time.Time // when the next request is due, with a rate
	gap   time.Duration
	conn  *conn // kept; nil when there is none
}

const (
	maxBody       = 64 << 20
	connectWithin = 5 * time.Second
)

func (l *Load) newClient(n int, r *round) *client {
	c := &client{load: l, round: r, rand: rand.New(rand.NewPCG(uint64(n), 1)), next: time.Now()}
	if l.opt.Rate > 0 {
		c.gap = time.Second * time.Duration(l.opt.Clients) / time.Duration(l.opt.Rate)
		c.next = c.next.Add(c.gap * time.Duration(n) / time.Duration(l.opt.Clients))
	}
	return c
}

func (c *client) run(ctx context.Context) {
	defer c.drop()
	for c.pace() && c.load.begin(c.round) {
		kind := pickKind(c.rand)
		before := c.load.epoch.Load()
		started := time.Now()
		release, failure := c.do(ctx, kind)
		if failure == nil {
			failure = c.load.judge(before, release)
		}
		c.load.rec.add(result{kind, started, time.Now(), release, failure})
	}
}

// judge finds an answer of a release that should no longer give any. It can
// only tell when no switch was under way during the request.
func (l *Load) judge(before *epoch, release string) *Failure {
	if before.release == "" || before != l.epoch.Load() || before.left.Load() != 0 || release == before.release {
		return nil
	}
	return failed(OldRelease, "answered by release %q, %q is the active one", release, before.release)
}

// pace waits until the next request is due. A client that is late does not
// catch up, so that a stall does not end in a burst.
func (c *client) pace() bool {
	if c.gap == 0 {
		return true
	}
	wait := time.Until(c.next)
	c.next = c.next.Add(max(c.gap, c.gap-wait))
	if wait <= 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-c.round.quit:
		return false
	}
}

func (c *client) do(ctx context.Context, kind Kind) (release string, f *Failure) {
	if kind == Socket {
		return c.load.useSocket(ctx)
	}
	if kind == GetClose {
		return c.once(ctx, kind)
	}
	if f := c.connect(ctx); f != nil {
		return "", f
	}
	req := newRequest(kind, c.load.opt.Target, c.rand)
	release, last, f := c.load.send(c.conn, req)
	if f != nil || last {
		c.drop()
	}
	return release, f
}

// once makes a request on a connection of its own.
func (c *client) once(ctx context.Context, kind Kind) (string, *Failure) {
	conn, f := c.load.dial(ctx)
	if f != nil {
		return "", f
	}
	defer conn.Close()
	release, _, f := c.load.send(conn, newRequest(kind, c.load.opt.Target, c.rand))
	return release, f
}

// connect makes sure that there is a connection. One that the server closed
// while it was idle is replaced, which is no failure but is counted.
func (c *client) connect(ctx context.Context) (f *Failure) {
	if c.conn != nil && c.conn.ended() {
		c.load.rec.idleClosed()
		c.drop()
	}
	if c.conn == nil {
		c.conn, f = c.load.dial(ctx)
	}
	return f
}

func (c *client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (l *Load) dial(ctx context.Context) (*conn, *Failure) {
	dialer := net.Dialer{Timeout: connectWithin}
	tcp, err := dialer.DialContext(ctx, "tcp", l.opt.Target)
	if err != nil {
		return nil, connectFailure(err)
	}
	return &conn{Conn: tcp, in: bufio.NewReader(tcp)}, nil
}

// send makes one request. last says that no further one may follow on conn.
func (l *Load) send(conn *conn, req request) (release string, last bool, f *Failure) {
	conn.deadline(l.opt.Timeout)
	resp, f := conn.exchange(req.bytes, req.method)
	if f != nil {
		return "", true, f
	}
	release = resp.Header.Get("X-Release")
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return release, true, bodyFailure(err)
	}
	if resp.StatusCode != http.StatusOK {
		return release, true, failed(badStatus(resp.StatusCode), "%.200q", body)
	}
	return release, resp.Close, req.check(answer{release, resp.Header, body})
}
