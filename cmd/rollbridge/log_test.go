package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogLinesHaveTheirKeysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := newLog(&b)
		log.Info("proxy listening", "port", 8182, "host", "<::1>")
		log.With("release", "42").WithGroup("exit").Info("over", "code", nil, "error", errors.New("gone"), "took", 1500*time.Millisecond)
		log.WithGroup("empty").Info("plain")
		log.Debug("not told")
		want := `{"at":"2000-01-01T00:00:00.000Z","data":{"port":8182,"host":"<::1>"},"message":"proxy listening"}
{"at":"2000-01-01T00:00:00.000Z","data":{"release":"42","exit":{"code":null,"error":"gone","took":"1.5s"}},"message":"over"}
{"at":"2000-01-01T00:00:00.000Z","data":{},"message":"plain"}
`
		if b.String() != want {
			t.Errorf("got\n%swant\n%s", b.String(), want)
		}
	})
}

func TestEveryLogLineIsJSONOnALine(t *testing.T) {
	var b bytes.Buffer
	newLog(&b).Info("a\nb\x00\xff", slog.Any("func", func() {}), slog.Any("chan\n", make(chan int)), slog.Any("nan", complex(1, 2)), slog.Any("map", map[string]any{"x": []int{1}}))
	if strings.Count(b.String(), "\n") != 1 {
		t.Errorf("%q is not one line", b.String())
	}
	var line struct {
		At, Message string
		Data        map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || len(line.Data) != 4 {
		t.Errorf("%q: %v", b.String(), err)
	}
}

// stuck is a writer that waits until it is let go.
type stuck struct {
	letGo chan struct{}
	mu    sync.Mutex
	got   bytes.Buffer
}

func (w *stuck) Write(p []byte) (int, error) {
	<-w.letGo
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got.Write(p)
}

func TestStuckLogDelaysNobodyAndCountsWhatItLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{letGo: make(chan struct{})}
		w := newLineWriter(out)
		io.WriteString(w, "line\n")
		synctest.Wait() // this one is being written
		for range waitingLines + 10 {
			io.WriteString(w, "line\n") // would be a deadlock if it waited
		}
		close(out.letGo)
		synctest.Wait()
		io.WriteString(w, "last\n")
		w.Close(time.Second)
		lines := strings.Split(strings.TrimSpace(out.got.String()), "\n")
		lost := lines[len(lines)-2]
		if !strings.Contains(lost, `"data":{"count":10},"message":"log lines dropped"`) || lines[len(lines)-1] != "last" {
			t.Errorf("%d lines, ends with %q", len(lines), lines[len(lines)-2:])
		}
		for i, line := range lines[:len(lines)-2] {
			if line != "line" {
				t.Fatalf("line %d is %q", i, line)
			}
		}
	})
}

func TestClosingAStuckLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{letGo: make(chan struct{})}
		w := newLineWriter(out)
		io.WriteString(w, "line\n")
		begun := time.Now()
		w.Close(2 * time.Second)
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		io.WriteString(w, "after the end\n")
		close(out.letGo)
	})
}

// full is a disk that takes some bytes, refuses for a while, and recovers.
type full struct {
	bytes.Buffer
	room int
}

func (w *full) Write(p []byte) (int, error) {
	if len(p) > w.room {
		n, _ := w.Buffer.Write(p[:w.room])
		w.room = 1000
		return n, syscall.ENOSPC
	}
	return w.Buffer.Write(p)
}

func TestLineTornByAFullDiskSpoilsNoOther(t *testing.T) {
	out := &full{room: 3}
	w := newLineWriter(out)
	io.WriteString(w, "first\n")
	io.WriteString(w, "second\n")
	io.WriteString(w, "third\n")
	w.Close(10 * time.Second)
	if got := out.String(); got != "fir\nsecond\nthird\n" {
		t.Errorf("%q", got)
	}
}

func TestClosedLogIsNoError(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w := newLineWriter(pipe)
	for range 10 {
		if _, err := io.WriteString(w, "line\n"); err != nil {
			t.Fatal(err)
		}
	}
	w.Close(10 * time.Second)
}
