package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A logHandler writes each record as one line of JSON, keys in the order
// at, data, message:
//
//	{"at":"2026-01-02T03:04:05.678Z","data":{"port":8182},"message":"proxy listening"}
//
// Levels are not written: what is logged are events, and all of them count.
type logHandler struct {
	out    io.Writer
	attrs  []slog.Attr // given by With, already in their groups
	groups []string
}

func newLog(out io.Writer) *slog.Logger { return slog.New(&logHandler{out: out}) }

// Enabled reports whether records of the level are written.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle writes one record with a single Write.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var own []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		own = append(own, a)
		return true
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"at":"%s","data":`, r.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
	writeAttrs(&b, append(slices.Clone(h.attrs), h.nested(own)...))
	b.WriteString(`,"message":`)
	writeValue(&b, r.Message)
	b.WriteString("}\n")
	_, err := h.out.Write(b.Bytes())
	return err
}

// WithAttrs returns a handler whose records all carry attrs.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = append(slices.Clone(h.attrs), h.nested(attrs)...)
	return &next
}

// WithGroup returns a handler whose later attributes are in a group.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.groups = append(slices.Clone(h.groups), name)
	return &next
}

// nested puts attrs into the groups that are open.
func (h *logHandler) nested(attrs []slog.Attr) []slog.Attr {
	if len(attrs) == 0 {
		return nil
	}
	for _, name := range slices.Backward(h.groups) {
		attrs = []slog.Attr{{Key: name, Value: slog.GroupValue(attrs...)}}
	}
	return attrs
}

func writeAttrs(b *bytes.Buffer, attrs []slog.Attr) {
	b.WriteByte('{')
	first := true
	for _, a := range attrs {
		if a.Equal(slog.Attr{}) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		writeValue(b, a.Key)
		b.WriteByte(':')
		writeAttr(b, a.Value.Resolve())
	}
	b.WriteByte('}')
}

func writeAttr(b *bytes.Buffer, v slog.Value) {
	switch v.Kind() {
	case slog.KindGroup:
		writeAttrs(b, v.Group())
	case slog.KindDuration:
		writeValue(b, v.Duration().String())
	case slog.KindTime:
		writeValue(b, v.Time().UTC().Format(time.RFC3339Nano))
	default:
		writeValue(b, v.Any())
	}
}

// writeValue writes a value as JSON; one that has none, in words.
func writeValue(b *bytes.Buffer, v any) {
	if err, ok := v.(error); ok {
		v = err.Error()
	}
	text, err := marshal(v)
	if err != nil {
		text, _ = marshal(fmt.Sprint(v))
	}
	b.Write(text)
}

// A lineWriter passes lines on to a writer that may be slow, full, stuck or
// closed, without ever keeping its callers waiting or ending the program: lines
// that find no room are dropped and counted.
type lineWriter struct {
	lines   chan []byte
	flushes chan chan struct{} // closed when what came before is written
	done    chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int // lines, since the last one that found room
}

const waitingLines = 4096

func newLineWriter(out io.Writer) *lineWriter {
	w := &lineWriter{lines: make(chan []byte, waitingLines), flushes: make(chan chan struct{}), done: make(chan struct{})}
	go w.pump(out)
	return w
}

// Write takes one line. It never fails.
func (w *lineWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return len(line), nil
	}
	if w.dropped > 0 && w.offer(droppedLine(w.dropped)) {
		w.dropped = 0
	}
	if !w.offer(bytes.Clone(line)) {
		w.dropped++
	}
	return len(line), nil
}

func (w *lineWriter) offer(line []byte) bool {
	select {
	case w.lines <- line:
		return true
	default:
		return false
	}
}

func droppedLine(n int) []byte {
	var b bytes.Buffer
	_ = newLog(&b).Handler().Handle(context.Background(), droppedRecord(n))
	return b.Bytes()
}

func droppedRecord(n int) slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines dropped", 0)
	r.AddAttrs(slog.Int("count", n))
	return r
}

// Flush waits until what was taken so far is written, for at most the given
// time.
func (w *lineWriter) Flush(atMost time.Duration) {
	written := make(chan struct{})
	select {
	case w.flushes <- written:
	case <-w.done:
		return
	case <-time.After(atMost):
		return
	}
	select {
	case <-written:
	case <-time.After(atMost):
	}
}

// pump writes the lines. A write that ended in the middle of a line, on a full
// disk, is closed with a line end, so that the next line stands alone.
func (w *lineWriter) pump(out io.Writer) {
	defer close(w.done)
	torn := false
	write := func(line []byte) {
		if torn {
			line = append([]byte("\n"), line...)
		}
		n, err := out.Write(line)
		torn = err != nil && (n > 0 || torn)
	}
	for {
		select {
		case line, open := <-w.lines:
			if !open {
				return
			}
			write(line)
		case written := <-w.flushes:
			for range len(w.lines) {
				write(<-w.lines)
			}
			close(written)
		}
	}
}

// Close writes what is waiting, for at most the given time.
func (w *lineWriter) Close(atMost time.Duration) {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(atMost):
	}
}
