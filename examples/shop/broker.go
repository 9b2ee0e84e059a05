package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// A broker hands jobs from those who put them to those who do them, over TCP,
// a line for each request and each answer:
//
//	PUT text   ->  OK
//	GET        ->  JOB text, as soon as there is one
//	CANCEL     ->  NONE; ends a waiting GET, of which a JOB may be under way
//	DONE       ->  OK; the job of this connection is finished
//	STATS      ->  STATS put=1 done=1 lost=0
//
// A job whose worker goes away before DONE is lost to that worker: it is
// counted and given to another one.
type broker struct {
	jobs            chan string
	put, done, lost atomic.Int64
	conns           sync.WaitGroup
}

const maxJobs = 10_000

func newBroker() *broker { return &broker{jobs: make(chan string, maxJobs)} }

func runBroker(ctx context.Context) error {
	addr, err := ownAddress()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return newBroker().serve(ctx, l)
}

// serve answers until ctx ends, then closes what is open.
func (b *broker) serve(ctx context.Context, l net.Listener) error {
	defer b.conns.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		b.conns.Go(func() { b.serveConn(ctx, conn) })
	}
}

func (b *broker) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := client{broker: b, conn: conn, lines: make(chan string)}
	gone := make(chan struct{})
	defer close(gone)
	go c.read(gone)
	for line := range c.lines {
		c.answer(line)
	}
	if c.job != "" {
		b.lost.Add(1)
		b.offer(c.job)
	}
}

// offer queues a job, unless the queue is full.
func (b *broker) offer(job string) bool {
	select {
	case b.jobs <- job:
		return true
	default:
		return false
	}
}

// A client is one connection to the broker. job is what it works on.
type client struct {
	broker *broker
	conn   net.Conn
	lines  chan string
	job    string
}

// read delivers lines until the connection or its handler ends.
func (c *client) read(gone <-chan struct{}) {
	defer close(c.lines)
	in := bufio.NewScanner(c.conn)
	for in.Scan() {
		select {
		case c.lines <- in.Text():
		case <-gone:
			return
		}
	}
}

func (c *client) answer(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "PUT":
		c.put(rest)
	case "GET":
		c.get()
	case "CANCEL":
		c.say("NONE")
	case "DONE":
		c.finish()
	case "STATS":
		b := c.broker
		c.say("STATS put=%d done=%d lost=%d", b.put.Load(), b.done.Load(), b.lost.Load())
	default:
		c.say("ERROR unknown request %q", verb)
	}
}

func (c *client) put(job string) {
	if job == "" || !c.broker.offer(job) {
		c.say("ERROR no text, or the queue is full")
		return
	}
	c.broker.put.Add(1)
	c.say("OK")
}

// get waits for a job; the only line that may come meanwhile is CANCEL.
func (c *client) get() {
	if c.job != "" {
		c.say("ERROR finish your job first")
		return
	}
	select {
	case c.job = <-c.broker.jobs:
		c.say("JOB %s", c.job)
	case line, ok := <-c.lines:
		if ok && line == "CANCEL" {
			c.say("NONE")
		} else if ok {
			c.say("ERROR only CANCEL may follow GET")
		}
	}
}

func (c *client) finish() {
	if c.job == "" {
		c.say("ERROR you have no job")
		return
	}
	c.job = ""
	c.broker.done.Add(1)
	c.say("OK")
}

// say answers. A client that is gone shows up as the end of its lines.
func (c *client) say(format string, args ...any) {
	fmt.Fprintf(c.conn, format+"\n", args...)
}
