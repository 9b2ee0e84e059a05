package runner

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

// output is where the lines of one process are.
type output interface {
	// begins says that the next lines are of an instance of spec.
	begins(spec config.Spec)
	tail(ctx context.Context, w Window) ([]Line, error)
}

// pick is what a window shows of lines that are all there is.
func (w Window) pick(lines []Line) []Line {
	if !w.Since.IsZero() {
		first := slices.IndexFunc(lines, func(l Line) bool { return !l.At.Before(w.Since) })
		if first < 0 {
			first = len(lines)
		}
		lines = lines[first:]
	}
	if w.Lines > 0 {
		lines = lines[max(0, len(lines)-w.Lines):]
	}
	return lines
}

// maxLine is where a line of output is cut; the rest continues as the next one.
const maxLine = 16 << 10

// ring keeps the newest lines of output.
type ring struct {
	mu      sync.Mutex // guards what follows
	slots   []slot     // line n is in slots[n%len(slots)]
	next    uint64     // number of the next line
	first   uint64     // number of the oldest line kept
	changed chan struct{}
	waited  bool // someone has got changed
}

// slot is a kept line; its memory is used again by a later one.
type slot struct {
	at     time.Time
	stream string
	text   []byte
}

func newRing(lines int) *ring {
	return &ring{slots: make([]slot, max(1, lines)), changed: make(chan struct{})}
}

// begins makes room for as many lines as the definition wants kept.
func (r *ring) begins(spec config.Spec) { r.resize(spec.OutputLines) }

func (r *ring) tail(_ context.Context, w Window) ([]Line, error) {
	return w.pick(r.since(0).lines), nil
}

// resize keeps the newest lines that have room.
func (r *ring) resize(lines int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slots := make([]slot, max(1, lines))
	if len(slots) == len(r.slots) {
		return
	}
	if kept := uint64(len(slots)); r.next-r.first > kept {
		r.first = r.next - kept
	}
	for n := r.first; n < r.next; n++ {
		slots[n%uint64(len(slots))] = r.slots[n%uint64(len(r.slots))]
	}
	r.slots = slots
}

func (r *ring) add(at time.Time, stream string, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.slots[r.next%uint64(len(r.slots))]
	s.at, s.stream, s.text = at, stream, append(s.text[:0], text...)
	r.next++
	if r.next-r.first > uint64(len(r.slots)) {
		r.first++
	}
	if r.waited {
		close(r.changed)
		r.changed, r.waited = make(chan struct{}), false
	}
}

// stretch is a part of the output, oldest line first.
type stretch struct {
	lines   []Line
	next    uint64          // number of the first line after it
	changed <-chan struct{} // closed when there are more lines
}

// since is the kept lines that are numbered from after on; they are counted
// from 0.
func (r *ring) since(after uint64) stretch {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waited = true
	out := stretch{next: r.next, changed: r.changed}
	for n := max(after, r.first); n < r.next; n++ {
		s := r.slots[n%uint64(len(r.slots))]
		text := strings.ToValidUTF8(string(s.text), string(utf8.RuneError))
		out.lines = append(out.lines, Line{At: s.at, Stream: s.stream, Text: text})
	}
	return out
}

// stream is one output pipe of one instance, being read into the ring. Its
// goroutine ends when the last writer is gone, which may be long after the
// command: descendants inherit the pipe.
type stream struct {
	name string
	ring *ring
	pipe *os.File

	mu   sync.Mutex // guards what follows, and the order of reads
	part []byte     // of a line that has not ended yet
	buf  []byte
}

// newStream makes a pipe; the caller closes its write end after the fork, and
// calls either read or close.
func newStream(name string, ring *ring) (s *stream, write int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, 0, err
	}
	_ = unix.SetNonblock(fds[0], true) // only ours: the other end stays blocking
	pipe := os.NewFile(uintptr(fds[0]), name)
	return &stream{name: name, ring: ring, pipe: pipe, buf: make([]byte, 32<<10)}, fds[1], nil
}

func (s *stream) close() { s.pipe.Close() }

// read reads until the last writer is gone.
func (s *stream) read() {
	defer s.pipe.Close()
	conn, err := s.pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		for {
			n, err := s.take(int(fd), len(s.buf))
			if n <= 0 {
				return err != unix.EAGAIN
			}
		}
	})
	s.flush()
}

// drain takes what is in the pipe now, and ends the line. It never waits, and
// takes no more than was there, however fast someone goes on writing.
func (s *stream) drain() {
	conn, err := s.pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		left, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		for err == nil && left > 0 {
			var n int
			if n, err = s.take(int(fd), left); n <= 0 {
				break
			}
			left -= n
		}
	})
	s.flush()
}

// take reads at most limit bytes, without waiting.
func (s *stream) take(fd, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		n, err := unix.Read(fd, s.buf[:min(limit, len(s.buf))])
		if err == unix.EINTR {
			continue
		}
		if n > 0 {
			s.split(time.Now(), s.buf[:n])
		}
		return n, err
	}
}

// split joins what was read with the line that has not ended.
func (s *stream) split(at time.Time, p []byte) {
	for {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		s.join(at, line)
		if !ended {
			return
		}
		s.emit(at, bytes.TrimSuffix(s.part, []byte{'\r'}))
		s.part = s.part[:0]
		p = rest
	}
}

// join adds to the line, cutting it where it is too long, between characters.
func (s *stream) join(at time.Time, p []byte) {
	for len(s.part)+len(p) > maxLine {
		n := maxLine - len(s.part)
		s.part = append(s.part, p[:n]...)
		p = p[n:]
		cut := len(s.part) - cutRune(s.part)
		s.emit(at, s.part[:cut])
		s.part = s.part[:copy(s.part, s.part[cut:])]
	}
	s.part = append(s.part, p...)
}

// flush ends a line that has no end.
func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit(time.Now(), bytes.TrimSuffix(s.part, []byte{'\r'}))
	s.part = s.part[:0]
}

func (s *stream) emit(at time.Time, line []byte) {
	if len(line) > 0 {
		s.ring.add(at, s.name, line)
	}
}

// cutRune is how many bytes at the end are the beginning of a character.
func cutRune(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
