package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// ErrNoDaemon says that nobody listens on a control socket.
var ErrNoDaemon = errors.New("no daemon is running")

// ErrClosed says that the connection ended before the answer came. The command
// may have been carried out.
var ErrClosed = errors.New("the daemon went away before it answered")

// ErrNotRollbridge says that what answers does not speak this protocol.
var ErrNotRollbridge = errors.New("not a rollbridge daemon")

// maxAnswer bounds what a stranger can make us hold; a status is far smaller.
const maxAnswer = 64 << 20

// A Client is a connection to a daemon. One command runs at a time.
type Client struct {
	path string
	nc   net.Conn
	in   *bufio.Reader

	mu     sync.Mutex // a command's, from its line to its answer
	broken error      // why no further command can be sent
}

// Dial connects to the daemon at path. The error wraps ErrNoDaemon when nobody
// listens there, and is an *Error with code CodeDenied when we may not connect.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, dialError(path, err)
	}
	return &Client{path: path, nc: nc, in: bufio.NewReader(nc)}, nil
}

// Close ends the connection. A command under way goes on in the daemon.
func (c *Client) Close() error { return c.nc.Close() }

// Call sends a command with the fields of args, a struct, a map or nil, and
// waits for its answer, which it returns decoded and as it came. With progress,
// the command's steps are asked for, and progress is called with each.
//
// An error that the daemon answered is an *Error. Others wrap ErrClosed,
// ErrNotRollbridge or the cause of ctx; after these the Client cannot be used
// again.
func Call[R any](ctx context.Context, c *Client, command string, args any, progress func(json.RawMessage)) (R, json.RawMessage, error) {
	var result R
	answer, err := c.call(ctx, command, args, progress)
	if err != nil {
		return result, answer, err
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return result, answer, fmt.Errorf("read the answer to %s: %w", command, err)
	}
	return result, answer, nil
}

func (c *Client) call(ctx context.Context, command string, args any, progress func(json.RawMessage)) (json.RawMessage, error) {
	line, err := requestLine(command, args, progress != nil)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return nil, c.broken
	}
	began := time.Now()
	stop := context.AfterFunc(ctx, func() { c.nc.SetDeadline(past) })
	answer, err := c.exchange(line, progress)
	interrupted := !stop()
	var own *Error
	if err == nil || errors.As(err, &own) {
		if interrupted {
			c.broken = ErrClosed // its deadline may be in the past
		}
		return answer, err
	}
	c.nc.Close()
	c.broken = c.explain(ctx, err, began)
	return nil, c.broken
}

// exchange writes the line and reads up to its answer. A daemon that turns us
// away answers without reading, so a failed write is no reason not to look.
func (c *Client) exchange(line []byte, progress func(json.RawMessage)) (json.RawMessage, error) {
	_, writeErr := c.nc.Write(line)
	if errors.Is(writeErr, os.ErrDeadlineExceeded) {
		return nil, writeErr
	}
	for {
		line, err := c.readLine()
		if err != nil {
			return nil, err
		}
		step, err := understand(line)
		if err != nil {
			return line, err
		}
		if step == nil {
			return line, nil
		}
		if progress != nil {
			progress(step)
		}
	}
}

func (c *Client) readLine() (json.RawMessage, error) {
	var line []byte
	for {
		piece, err := c.in.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case len(line) > maxAnswer:
			return nil, ErrNotRollbridge
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// understand returns the step of a progress line, nil for a success, and the
// error of an error.
func understand(line []byte) (step json.RawMessage, err error) {
	var a struct {
		Status   string
		Progress json.RawMessage
		Error    string
		Code     string
		Hint     string
		Output   []string
	}
	if kindOf(line) != '{' || json.Unmarshal(line, &a) != nil {
		return nil, ErrNotRollbridge
	}
	switch {
	case a.Status == statusSuccess:
		return nil, nil
	case a.Status == statusError:
		return nil, &Error{Code: a.Code, Message: a.Error, Hint: a.Hint, Output: a.Output}
	case a.Status == statusProgress && a.Progress != nil:
		return a.Progress, nil
	}
	return nil, ErrNotRollbridge
}

// explain says why there is no answer.
func (c *Client) explain(ctx context.Context, err error, began time.Time) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer from the daemon within %v: %w", waited(ctx, began), context.Cause(ctx))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrNotRollbridge):
		return fmt.Errorf("%s: what answers there is %w", c.path, ErrNotRollbridge)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

func waited(ctx context.Context, began time.Time) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now()
	}
	return deadline.Sub(began).Round(time.Millisecond)
}

func requestLine(command string, args any, progress bool) ([]byte, error) {
	head, err := marshal(struct {
		Command  string `json:"command"`
		Progress bool   `json:"progress,omitempty"`
	}{command, progress})
	if err != nil {
		return nil, err
	}
	if args == nil {
		args = struct{}{}
	}
	body, err := marshal(args)
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", command, err)
	}
	return joined(head, body)
}

func dialError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w: connect ENOENT %s", ErrNoDaemon, path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: connect ECONNREFUSED %s", ErrNoDaemon, path)
	case errors.Is(err, syscall.EACCES):
		return &Error{Code: CodeDenied, Message: "connect EACCES " + path + ": permission denied"}
	case errors.Is(err, syscall.EAGAIN):
		return &Error{
			Code:    CodeBusy,
			Message: "connect EAGAIN " + path + ": the daemon does not take connections",
			Hint:    "it may hang; look at its log",
		}
	}
	return fmt.Errorf("connect %s: %w", path, err)
}
