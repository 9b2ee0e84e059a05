package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second // the machine may be busy

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eachKind runs a test with a listener of each kind.
func eachKind(t *testing.T, test func(t *testing.T, l *Listener)) {
	t.Run("tcp", func(t *testing.T) { test(t, listenTCP(t, "127.0.0.1:0")) })
	t.Run("unix", func(t *testing.T) {
		test(t, listenControl(t, filepath.Join(shortDir(t), "s"), Permissions{}))
	})
}

// accepting accepts until the listener is closed, and closes what it gets.
func accepting(t *testing.T, l *Listener) (accepted *atomic.Int64) {
	accepted = new(atomic.Int64)
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			nc, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			accepted.Add(1)
			nc.Close()
		}
	})
	t.Cleanup(func() { l.Close(); loop.Wait() })
	return accepted
}

func dial(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

func TestBeatWakesAnIdleAcceptLoop(t *testing.T) {
	eachKind(t, func(t *testing.T, l *Listener) {
		accepted := accepting(t, l)
		for range 20 {
			if err := l.Beat(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		if accepted.Load() != 0 {
			t.Error("a beat made a connection")
		}
		nc := dial(t, l)
		nc.SetDeadline(time.Now().Add(patience))
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the beats: %v", err)
		}
	})
}

func TestBeatWaitsForAcceptToBeCalled(t *testing.T) {
	eachKind(t, func(t *testing.T, l *Listener) {
		given := errors.New("given up")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, given)
		defer cancel()
		if err := l.Beat(ctx); err != given {
			t.Fatalf("nobody accepts, yet: %v", err)
		}
		beaten := make(chan error, 1)
		go func() { beaten <- l.Beat(soon(t)) }()
		accepting(t, l)
		if err := <-beaten; err != nil {
			t.Error(err)
		}
	})
}

func TestStuckAcceptLoopHasNoBeat(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	stuck, release := make(chan struct{}), make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		l.Accept()
		close(stuck)
		<-release
		l.Accept()
	})
	dial(t, l)
	<-stuck
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Beat(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	close(release)
	if err := l.Beat(soon(t)); err != nil {
		t.Errorf("after it went on: %v", err)
	}
	l.Close()
	loop.Wait()
}

func TestConcurrentBeatsAllReturn(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	accepting(t, l)
	ctx := soon(t)
	var beats sync.WaitGroup
	for range 16 {
		beats.Go(func() {
			for range 50 {
				if err := l.Beat(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	beats.Wait()
}

// Beats as fast as they go neither fail a connection nor keep one waiting.
func TestBeatsLoseNoConnectionUnderLoad(t *testing.T) {
	eachKind(t, func(t *testing.T, l *Listener) {
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		ctx, stop := context.WithCancel(t.Context())
		var beats sync.WaitGroup
		var count atomic.Int64
		for range 4 {
			beats.Go(func() {
				for l.Beat(ctx) == nil {
					count.Add(1)
				}
			})
		}
		network, addr := l.Addr().Network(), l.Addr().String()
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}
		client := http.Client{Transport: transport, Timeout: patience}
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 100 {
					res, err := client.Get("http://host/path")
					if err != nil {
						t.Error(err)
						return
					}
					if body, err := io.ReadAll(res.Body); string(body) != "/path" {
						t.Errorf("%q, %v", body, err)
					}
					res.Body.Close()
				}
			})
		}
		clients.Wait()
		stop()
		beats.Wait()
		server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("the server ended: %v", err)
		}
		if count.Load() == 0 {
			t.Error("there was no beat")
		}
	})
}

func TestBeatAfterCloseFails(t *testing.T) {
	eachKind(t, func(t *testing.T, l *Listener) {
		beaten := make(chan error, 1)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		go func() { beaten <- l.Beat(soon(t)) }()
		if err := <-beaten; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBeatsLeaveNoGoroutines(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	before := runtime.NumGoroutine()
	for range 100 {
		if err := l.Beat(ended); err != context.Canceled {
			t.Fatal(err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// failing returns an error of Accept for as long as it is set.
type failing struct {
	stream
	err atomic.Pointer[error]
}

func (f *failing) Accept() (net.Conn, error) {
	if err := f.err.Load(); err != nil {
		return nil, *err
	}
	return f.stream.Accept()
}

// http.Server sleeps after such an error, and comes back.
func TestBeatCountsAcceptErrors(t *testing.T) {
	f := &failing{stream: listenTCP(t, "127.0.0.1:0").socket}
	var err error = &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	f.err.Store(&err)
	l := newListener(f)
	server := http.Server{Handler: http.NotFoundHandler()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	for range 3 {
		if err := l.Beat(soon(t)); err != nil {
			t.Fatalf("out of descriptors: %v", err)
		}
	}
	f.err.Store(nil)
	for range 3 {
		if err := l.Beat(soon(t)); err != nil {
			t.Fatalf("with descriptors again: %v", err)
		}
	}
	if res, err := http.Get("http://" + l.Addr().String()); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", res, err)
	}
	server.Close()
	<-served
}

// The kernel's own refusal: the limit of descriptors is reached.
func TestBeatWithoutDescriptors(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	client := dial(t, l) // waits to be accepted
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	beaten := make(chan error, 1)
	go func() { beaten <- l.Beat(soon(t)) }()
	var refused error
	for refused == nil || len(beaten) == 0 && errors.Is(refused, unix.EMFILE) {
		_, refused = l.Accept()
		time.Sleep(time.Millisecond) // as servers do
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := <-beaten; err != nil || !errors.Is(refused, unix.EMFILE) {
		t.Fatalf("beat: %v, accept: %v", err, refused)
	}
	accepting(t, l)
	client.SetDeadline(time.Now().Add(patience))
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection that waited: %v", err)
	}
}
