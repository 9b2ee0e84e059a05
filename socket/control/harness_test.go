package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds what must happen soon, on a machine that may be busy.
const patience = 20 * time.Second

// A daemon is a served Mux that records what it is told.
type daemon struct {
	*Mux
	t    *testing.T
	path string

	mu         sync.Mutex // guards what follows
	errors     []string
	connErrors []string
}

// newDaemon is not served yet, so that commands can be added.
func newDaemon(t *testing.T, opt Options) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rbc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{t: t, path: filepath.Join(dir, "control.sock")}
	opt.OnError = func(_ Peer, command string, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.errors = append(d.errors, command+": "+err.Error())
	}
	opt.OnConnError = func(_ Peer, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.connErrors = append(d.connErrors, err.Error())
	}
	d.Mux = NewMux(opt)
	return d
}

// listen serves the daemon; when the test ends it is closed, and nothing of it
// may be left.
func (d *daemon) listen() *daemon {
	d.t.Helper()
	l, err := net.Listen("unix", d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(l) }()
	d.t.Cleanup(func() {
		d.Close(context.Background())
		within(d.t, "the daemon ends", d.Wait)
		if err := <-served; err != nil {
			d.t.Errorf("Serve: %v", err)
		}
	})
	return d
}

func (d *daemon) dial() *wire {
	d.t.Helper()
	nc, err := net.Dial("unix", d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &wire{UnixConn: nc.(*net.UnixConn), t: d.t, in: bufio.NewReader(nc)}
}

func (d *daemon) client() *Client {
	d.t.Helper()
	c, err := Dial(context.Background(), d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	return c
}

func (d *daemon) told() (errors, connErrors string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.errors, "\n"), strings.Join(d.connErrors, "\n")
}

// A wire is a client that sends any bytes.
type wire struct {
	*net.UnixConn
	t  *testing.T
	in *bufio.Reader
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

// line returns the next line, without its end.
func (w *wire) line() string {
	w.t.Helper()
	line, err := w.in.ReadString('\n')
	if err != nil {
		w.t.Fatalf("read: %v after %q", err, line)
	}
	return strings.TrimSuffix(line, "\n")
}

// ask sends one line and returns its answer.
func (w *wire) ask(line string) string {
	w.t.Helper()
	w.send(line + "\n")
	return w.line()
}

// ends fails unless the daemon closes the connection without a further answer.
func (w *wire) ends() {
	w.t.Helper()
	rest, err := io.ReadAll(w.in)
	if os.IsTimeout(err) || len(rest) > 0 {
		w.t.Fatalf("still open: %v after %q", err, rest)
	}
}

func parsed(t *testing.T, line string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	return m
}

func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		t.Fatalf("in vain waited until %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

func receive[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	within(t, what, func() { v = <-from })
	return v
}

// eventually waits for what has no event to wait for.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}

// resources counts what may leak.
func resources(t *testing.T) (goroutines, descriptors int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(entries)
}

type none struct{}

type echoArgs struct {
	Text string   `json:"text"`
	N    float64  `json:"n"`
	I    int      `json:"i"`
	Flag bool     `json:"flag"`
	List []string `json:"list"`
	Ptr  *string  `json:"ptr"`
}

type echoResult struct {
	Text string `json:"text"`
}

// addEcho adds `status` and `echo`.
func (d *daemon) addEcho() *daemon {
	Handle(d.Mux, "status", func(context.Context, none, func(any)) (map[string]any, error) {
		return map[string]any{"application": "shop", "activeReleaseId": "v1"}, nil
	})
	Handle(d.Mux, "echo", func(_ context.Context, a echoArgs, _ func(any)) (echoResult, error) {
		return echoResult{a.Text}, nil
	})
	return d
}

// addBlock adds `block`, which tells that it began, waits, and answers.
func (d *daemon) addBlock() (began chan context.Context, end chan struct{}) {
	began, end = make(chan context.Context, 1000), make(chan struct{})
	Handle(d.Mux, "block", func(ctx context.Context, _ none, _ func(any)) (none, error) {
		began <- ctx
		<-end
		return none{}, nil
	})
	return began, end
}

// addFollow adds `follow`, which sends n steps of size bytes and then waits for
// its client to leave. left tells that it did.
func (d *daemon) addFollow() (left chan int) {
	left = make(chan int, 1000)
	type args struct {
		N    int `json:"n"`
		Size int `json:"size"`
	}
	Handle(d.Mux, "follow", func(ctx context.Context, a args, progress func(any)) (none, error) {
		sent := 0
		for ; sent < a.N && !isGone(ctx); sent++ {
			progress(map[string]any{"n": sent, "text": strings.Repeat("x", a.Size)})
		}
		<-Gone(ctx)
		left <- sent
		return none{}, nil
	})
	return left
}

func isGone(ctx context.Context) bool {
	select {
	case <-Gone(ctx):
		return true
	default:
		return false
	}
}

func lineOf(command string, more string, args ...any) string {
	return fmt.Sprintf(`{"command":%q%s}`, command, fmt.Sprintf(more, args...))
}
