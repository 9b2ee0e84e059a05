package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stranger answers every line at path with text and closes if told to. It returns
// the path.
func stranger(t *testing.T, text string, closes bool) string {
	t.Helper()
	d := newDaemon(t, Options{})
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer nc.Close()
				in := bufio.NewScanner(nc)
				for in.Scan() {
					nc.Write([]byte(text))
					if closes {
						return
					}
				}
			})
		}
	})
	return d.path
}

func dialed(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCallReturnsTheResultAndTheAnswerAsItCame(t *testing.T) {
	c := newDaemon(t, Options{}).addEcho().listen().client()
	for range 2 {
		got, raw, err := Call[echoResult](context.Background(), c, "echo", echoArgs{Text: "hi", List: []string{}}, nil)
		if err != nil || got.Text != "hi" || string(raw) != `{"status":"success","text":"hi"}` {
			t.Errorf("%v, %s, %v", got, raw, err)
		}
	}
}

func TestCallReturnsTheDaemonsError(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	want := Error{Code: CodeBusy, Message: "a deploy is under way", Hint: "wait"}
	Handle(d.Mux, "busy", func(context.Context, none, func(any)) (none, error) { return none{}, &want })
	c := d.listen().client()
	_, raw, err := Call[none](context.Background(), c, "busy", nil, nil)
	var e *Error
	if !errors.As(err, &e) || !reflect.DeepEqual(*e, want) || !strings.HasPrefix(string(raw), `{"error":`) {
		t.Errorf("%s, %v", raw, err)
	}
	if _, _, err := Call[none](context.Background(), c, "status", nil, nil); err != nil {
		t.Errorf("the client is of no further use: %v", err)
	}
}

func TestCallHandsOnProgress(t *testing.T) {
	d := newDaemon(t, Options{})
	Handle(d.Mux, "steps", func(_ context.Context, _ none, progress func(any)) (none, error) {
		for n := range 3 {
			progress(n)
		}
		return none{}, nil
	})
	c := d.listen().client()
	var steps []string
	_, _, err := Call[none](context.Background(), c, "steps", nil, func(step json.RawMessage) { steps = append(steps, string(step)) })
	if err != nil || strings.Join(steps, " ") != "0 1 2" {
		t.Errorf("steps %v, %v", steps, err)
	}
}

func TestCallSaysThatTheDaemonIsSilent(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	_, end := d.addBlock()
	defer close(end)
	c := d.listen().client()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, _, err := Call[none](ctx, c, "block", nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "no answer from the daemon within ") {
		t.Errorf("got %v", err)
	}
	if _, _, again := Call[none](context.Background(), c, "status", nil, nil); again == nil {
		t.Error("the client is used again with an answer under way")
	}
}

func TestCallEndsWhenItsCallerNoLongerWaits(t *testing.T) {
	d := newDaemon(t, Options{})
	began, end := d.addBlock()
	defer close(end)
	c := d.listen().client()
	ctx, cancel := context.WithCancelCause(context.Background())
	mine := errors.New("interrupted")
	go func() { <-began; cancel(mine) }()
	if _, _, err := Call[none](ctx, c, "block", nil, nil); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
}

func TestCallSaysThatTheDaemonWentAway(t *testing.T) {
	for _, half := range []string{"", `{"status":"succ`, `{"status":"success"}`} {
		_, _, err := Call[none](context.Background(), dialed(t, stranger(t, half, true)), "status", nil, nil)
		if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the daemon went away before it answered") {
			t.Errorf("%q: %v", half, err)
		}
	}
}

func TestCallKnowsThatItIsNoDaemon(t *testing.T) {
	for _, garbage := range []string{
		"HTTP/1.1 400 Bad Request\r\n\r\n", "\n", "null\n", "[]\n", "{}\n", `{"status":"fine"}` + "\n",
		`{"status":5}` + "\n", `{"status":"progress"}` + "\n", "\x00\x01\n",
	} {
		path := stranger(t, garbage, false)
		_, _, err := Call[none](context.Background(), dialed(t, path), "status", nil, nil)
		if !errors.Is(err, ErrNotRollbridge) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", garbage, err)
		}
		if found, err := Probe(context.Background(), path); err != nil || found.Kind != Stranger {
			t.Errorf("%q: found %+v, %v", garbage, found, err)
		}
	}
}

func TestClientTurnedAwayGetsTheReason(t *testing.T) {
	d := newDaemon(t, Options{MaxConns: 1}).addEcho().listen()
	if _, _, err := Call[none](context.Background(), d.client(), "status", nil, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := Call[none](context.Background(), d.client(), "echo", echoArgs{Text: strings.Repeat("x", 500000), List: []string{}}, nil)
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeBusy {
		t.Errorf("got %v", err)
	}
	if found, err := Probe(context.Background(), d.path); err != nil || found.Kind != Daemon {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestDialSaysThatNobodyIsThere(t *testing.T) {
	d := newDaemon(t, Options{})
	missing, stale := d.path, d.path+".stale"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for path, text := range map[string]string{missing: "connect ENOENT " + missing, stale: "connect ECONNREFUSED " + stale} {
		_, err := Dial(context.Background(), path)
		if !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", path, err)
		}
		found, err := Probe(context.Background(), path)
		if err != nil || found.Kind != Nobody || found.Conflict(path) != nil {
			t.Errorf("%s: found %+v, %v", path, found, err)
		}
	}
}

func TestDialSaysThatOneMayNotConnect(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	d := newDaemon(t, Options{}).listen()
	if err := errors.Join(os.Chmod(filepath.Dir(d.path), 0o755), os.Chmod(d.path, 0o660)); err != nil {
		t.Fatal(err)
	}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with us
		syscall.RawSyscall(unix.SYS_SETRESGID, ^uintptr(0), 54321, ^uintptr(0))
		syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 54321, ^uintptr(0))
		_, err = Dial(context.Background(), d.path)
	}()
	<-done
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeDenied || !strings.Contains(e.Message, "connect EACCES "+d.path) {
		t.Errorf("%v", err)
	}
}

func TestProbeFindsTheDaemonAndItsRelease(t *testing.T) {
	for active, text := range map[string]string{`"v1"`: "active release: v1", `null`: "no active release"} {
		d := newDaemon(t, Options{})
		Handle(d.Mux, "status", func(context.Context, none, func(any)) (map[string]json.RawMessage, error) {
			return map[string]json.RawMessage{"application": json.RawMessage(`"shop"`), "activeReleaseId": json.RawMessage(active)}, nil
		})
		d.listen()
		found, err := Probe(context.Background(), d.path)
		if err != nil || found.Kind != Daemon || found.Application != "shop" {
			t.Fatalf("found %+v, %v", found, err)
		}
		want := fmt.Sprintf(`A Rollbridge daemon for application "shop" is already running on %s (%s).`, d.path, text)
		if got := found.Conflict(d.path).Error(); got != want {
			t.Errorf("got %s", got)
		}
	}
}

func TestProbeDoesNotWaitForASilentOne(t *testing.T) {
	path := stranger(t, "", false)
	began := time.Now()
	found, err := Probe(context.Background(), path)
	if err != nil || found.Kind != Stranger || time.Since(began) < probeTime {
		t.Errorf("found %+v, %v after %v", found, err, time.Since(began))
	}
	want := "The control socket " + path + " is already in use by another process."
	if got := found.Conflict(path).Error(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := Probe(ctx, stranger(t, "", false)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
