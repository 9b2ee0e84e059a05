package systemd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readers is how many journalctl may read at once: one wants a processor,
	// and its pages of the journal, for some milliseconds.
	readers = 4
	// maxRead is how many bytes of values one Read returns at most.
	maxRead = 32 << 20
	// syncTime is how long journald may take to write down what it has got.
	syncTime = 2 * time.Second
	// minPause and maxPause are between two attempts to follow.
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// Journal reads the journal of this machine through journalctl, which knows all
// formats of it and needs no C code in this program. Its methods may be called
// concurrently.
type Journal struct {
	program string
	slots   chan struct{} // holds one for each reader
}

// OpenJournal returns the journal. Whether it can be read shows when it is.
func OpenJournal() *Journal {
	return &Journal{program: "journalctl", slots: make(chan struct{}, readers)}
}

// Match is a field and the value it shall have, exactly: the journal has an
// index of those, while a pattern costs a walk over all values.
type Match struct{ Field, Value string }

// Query says which entries are meant.
type Query struct {
	// Any are alternatives. All matches of one have to hold; of matches that
	// name the same field, one.
	Any [][]Match
	// Keep refuses entries that cannot be told by exact matches; nil keeps all.
	Keep func(Entry) bool
	// Fields are those that are read besides the entry's time.
	Fields []string
	// Limit is how many of the newest entries are read: 0 is all, less is none.
	Limit int
	// Since leaves out older entries.
	Since time.Time
}

// Read returns the newest entries, oldest first.
func (j *Journal) Read(ctx context.Context, q Query) ([]Entry, error) {
	if len(q.Any) == 0 || q.Limit < 0 {
		return nil, nil
	}
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("read the journal: %w", context.Cause(ctx))
	}
	var entries []Entry
	size := 0
	err := j.run(ctx, append([]string{"--reverse"}, q.args()...), func(e Entry) bool {
		if !q.keeps(e) {
			return true
		}
		if size += e.size(); size > maxRead {
			return false
		}
		entries = append(entries, e)
		return len(entries) != q.Limit
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	slices.Reverse(entries)
	return entries, nil
}

// Follow tells the entries that Read would return, and then each further one,
// until ctx ends or tell returns an error, which is the answer. It goes on when
// journald is restarted and when journalctl ends, without losing or repeating
// an entry.
func (j *Journal) Follow(ctx context.Context, q Query, tell func(Entry) error) error {
	from := Position{since: time.Now()}
	kept, err := j.Read(ctx, q)
	if err != nil {
		return err
	}
	for _, e := range kept {
		if err := tell(e); err != nil {
			return err
		}
		from = After(e)
	}
	return j.FollowFrom(ctx, q, from, tell)
}

// Position is a place in the journal.
type Position struct {
	since  time.Time // while there is no cursor
	cursor string
}

// Now is the place of what is written from now on.
func Now() Position { return Position{since: time.Now()} }

// After is the place behind an entry.
func After(e Entry) Position { return Position{cursor: e.Cursor} }

func (p Position) args() []string {
	if p.cursor != "" {
		return []string{"--after-cursor=" + p.cursor}
	}
	return []string{sinceArg(p.since)}
}

// FollowFrom tells the entries from a place on; Limit and Since of the query do
// not count.
func (j *Journal) FollowFrom(ctx context.Context, q Query, from Position, tell func(Entry) error) error {
	q.Since = time.Time{}
	pause := minPause
	for {
		var refused error
		told := false
		args := slices.Concat([]string{"--follow", "--no-tail"}, from.args(), q.args())
		err := j.run(ctx, args, func(e Entry) bool {
			if q.keeps(e) {
				refused = tell(e)
			}
			from, told = After(e), true
			return refused == nil
		})
		switch {
		case refused != nil:
			return refused
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errCannotRun):
			return fmt.Errorf("follow the journal: %w", err)
		case told:
			pause = minPause
		}
		if !rest(ctx, pause) {
			return context.Cause(ctx)
		}
		pause = min(2*pause, maxPause)
	}
}

// rest reports whether it rested to the end.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Sync returns when everything that had been written to the journal before can
// be read, for root; after two seconds at most.
func (j *Journal) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	if _, err := j.output(ctx, "--sync"); err != nil {
		return fmt.Errorf("sync the journal: %w", err)
	}
	return nil
}

// Values lists the values that a field has anywhere in the journal, in no order.
func (j *Journal) Values(ctx context.Context, field string) ([]string, error) {
	out, err := j.output(ctx, "--quiet", "--field="+field)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return strings.FieldsFunc(out, func(c rune) bool { return c == '\n' }), nil
}

// Readable reports whether this user may read what others, and the system, have
// written: without that right a read is no error but finds only one's own.
func (j *Journal) Readable() bool {
	for _, dir := range []string{"/var/log/journal", "/run/log/journal"} {
		files, _ := filepath.Glob(dir + "/*/system.journal")
		for _, file := range files {
			if unix.Access(file, unix.R_OK) == nil {
				return true
			}
		}
	}
	return false
}

func (q Query) keeps(e Entry) bool { return q.Keep == nil || q.Keep(e) }

// args are the arguments for journalctl. Values that are large or binary are
// wanted whole, and nothing shall be told to people.
func (q Query) args() []string {
	args := []string{"--quiet", "--all", "--output=json", "--output-fields=" + strings.Join(q.Fields, ",")}
	if !q.Since.IsZero() {
		args = append(args, sinceArg(q.Since))
	}
	for i, matches := range q.Any {
		if i > 0 {
			args = append(args, "+")
		}
		for _, m := range matches {
			args = append(args, m.Field+"="+m.Value)
		}
	}
	return args
}

func sinceArg(t time.Time) string {
	micros := t.UnixMicro()
	return fmt.Sprintf("--since=@%d.%06d", micros/1e6, micros%1e6)
}

func (e Entry) size() int {
	n := 0
	for _, value := range e.fields {
		n += len(value)
	}
	return n
}
