package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// A queue is a connection to the broker, for one goroutine at a time.
type queue struct {
	conn net.Conn
	in   *bufio.Reader
}

// dialBroker connects, trying again while the broker is still starting.
func dialBroker(ctx context.Context) (*queue, error) {
	addr, err := brokerAddress()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var dialer net.Dialer
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return &queue{conn: conn, in: bufio.NewReader(conn)}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("reach the broker at %s: %w", addr, err)
		case <-retry.C:
		}
	}
}

func (q *queue) Close() error { return q.conn.Close() }

func (q *queue) put(job string) error {
	_, err := q.ask("PUT " + job)
	return err
}

// get waits for a job, or until ctx ends: then ok is false, unless a job was
// already under way, which is delivered all the same.
func (q *queue) get(ctx context.Context) (job string, ok bool, err error) {
	if _, err := fmt.Fprintln(q.conn, "GET"); err != nil {
		return "", false, err
	}
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		fmt.Fprintln(q.conn, "CANCEL") // when it fails, so does the read below
	})
	answer, err := q.read()
	job, ok = strings.CutPrefix(answer, "JOB ")
	if ok && !stop() {
		<-cancelled
		_, err = q.read() // what answers CANCEL
	}
	return job, ok, err
}

func (q *queue) done() error {
	_, err := q.ask("DONE")
	return err
}

func (q *queue) stats() (string, error) { return q.ask("STATS") }

func (q *queue) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(q.conn, line); err != nil {
		return "", err
	}
	return q.read()
}

func (q *queue) read() (string, error) {
	answer, err := q.in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the broker went away: %w", err)
	}
	answer = strings.TrimSuffix(answer, "\n")
	if reason, bad := strings.CutPrefix(answer, "ERROR "); bad {
		return "", fmt.Errorf("the broker refused: %s", reason)
	}
	return answer, nil
}
