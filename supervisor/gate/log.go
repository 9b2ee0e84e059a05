package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A log that has grown beyond logLimit bytes is cut down to its newest records:
// logKept of them, or as many as half the limit holds, one at least.
const (
	logLimit = 256 << 10
	logKept  = 100
)

// Records are the kept records of a process after the one numbered after,
// oldest first. A log that ends before that number was made anew and is
// returned whole; one that is not there is empty.
func (d Dir) Records(id string, after uint64) ([]Record, error) {
	path, err := d.path(id, logExt)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("records %s: %w", path, bare(err))
	}
	if newest(text).Seq < after {
		after = 0
	}
	var records []Record
	for r := range backwards(text) {
		if r.Seq <= after {
			break
		}
		records = append(records, r)
	}
	slices.Reverse(records)
	return records, nil
}

// Append numbers a record and adds it to those of a process.
func (d Dir) Append(id string, r Record) error {
	l, err := d.log(id)
	if err != nil {
		return err
	}
	defer l.close()
	return l.append(r)
}

// log is the records of one process, for a writer. Once open, they can be
// written when this process may not open them any more.
type log struct {
	path string
	file *os.File // nil until it is needed
	last Record   // the newest one; zero when there is none
}

// log is the records of a process, not open yet.
func (d Dir) log(id string) (*log, error) {
	path, err := d.path(id, logExt)
	if err != nil {
		return nil, err
	}
	return &log{path: path}, d.check()
}

// load opens the records and reads the newest; flag os.O_CREATE makes them.
func (l *log) load(flag int) error {
	if err := l.open(flag); err != nil {
		return err
	}
	text, err := l.read()
	l.last = newest(text)
	return err
}

func (l *log) open(flag int) error {
	file, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|flag, 0o600)
	if err != nil {
		return err
	}
	l.close()
	l.file = file
	return nil
}

func (l *log) close() { l.file.Close() }

// append numbers a record and writes it in one piece. What an earlier writer
// left unfinished is closed off as a line of its own.
func (l *log) append(r Record) error {
	if err := l.write(r); err != nil {
		return fmt.Errorf("write to records %s: %w", l.path, bare(err))
	}
	return nil
}

func (l *log) write(r Record) error {
	if err := l.lock(); err != nil {
		return err
	}
	defer l.unlock()
	text, err := l.read()
	if err != nil {
		return err
	}
	r.Seq = newest(text).Seq + 1
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if len(text) > 0 && text[len(text)-1] != '\n' {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := l.file.Write(line); err != nil {
		_ = l.file.Truncate(int64(len(text))) // the disk is full
		return err
	}
	l.last = r
	if len(text)+len(line) > logLimit {
		l.shorten(append(text, line...))
	}
	return nil
}

// shorten puts the end of the log in place of it. When that cannot be done it
// is tried again at the next record.
func (l *log) shorten(text []byte) {
	if replaceFile(l.path, tail(text)) == nil {
		_ = l.open(0)
	}
}

// lock waits for other writers, who may have put another file in place.
func (l *log) lock() error {
	if l.file == nil {
		if err := l.open(os.O_CREATE); err != nil {
			return err
		}
	}
	for {
		if err := uninterrupted(func() error { return unix.Flock(int(l.file.Fd()), unix.LOCK_EX) }); err != nil {
			return err
		}
		own, err := l.file.Stat()
		if err != nil {
			return err
		}
		there, err := os.Stat(l.path)
		if err != nil || os.SameFile(own, there) {
			return nil // also when it was removed, or cannot be looked up any more
		}
		if err := l.open(0); err != nil {
			return err
		}
	}
}

func (l *log) unlock() { _ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN) }

// read reads all records; others may only add to them.
func (l *log) read() ([]byte, error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, info.Size())
	n, err := l.file.ReadAt(text, 0)
	if err == io.EOF {
		err = nil
	}
	return text[:n], err
}

// newest is the last record of a log, zero when it has none.
func newest(text []byte) Record {
	for r := range backwards(text) {
		return r
	}
	return Record{}
}

// backwards yields the records of a log, newest first, without what is no
// record: a line that its writer could not finish.
func backwards(text []byte) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for len(text) > 0 {
			var line []byte
			text, line = cutLast(text)
			var r Record
			if json.Unmarshal(line, &r) == nil && r.Seq > 0 && !yield(r) {
				return
			}
		}
	}
}

// cutLast splits off the last line, with its end.
func cutLast(text []byte) (before, line []byte) {
	start := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	return text[:start], text[start:]
}

// tail is the end of a log that is kept.
func tail(text []byte) []byte {
	before := text
	for n := 0; n < logKept && len(before) > 0; n++ {
		rest, _ := cutLast(before)
		if n > 0 && len(text)-len(rest) > logLimit/2 {
			break
		}
		before = rest
	}
	return text[len(before):]
}
