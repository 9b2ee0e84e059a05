package runner

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"rollbridge/supervisor/systemd"
)

// journalFollower follows the lines of any number of processes with one reader
// of the journal. When the set of processes changes, the reader is started anew
// where it was.
type journalFollower struct {
	journal *Journal
	tell    func(Process, Line)

	writers map[string]Process // by identifier
	from    systemd.Position
	stop    func() // ends the reader; nil when none runs

	// told are lines of processes that were new, read before the reader came to
	// them: by cursor, with the time of the newest.
	told      map[string]bool
	toldUntil time.Time
}

// Follow returns a Follower of processes whose output is in the journal.
func (j *Journal) Follow(tell func(Process, Line)) Follower {
	return &journalFollower{journal: j, tell: tell, from: systemd.Now(), told: map[string]bool{}}
}

// Set tells what those that are new have written, and has the reader go on with
// all of them.
func (f *journalFollower) Set(ctx context.Context, processes []Process, w Window) error {
	writers := map[string]Process{}
	for _, p := range processes {
		for _, identifier := range outputOf(p).names() {
			writers[identifier] = p
		}
	}
	if f.stop != nil && maps.Equal(writers, f.writers) {
		return nil
	}
	f.Close()
	before := f.writers
	f.writers = writers
	if err := f.catchUp(ctx, processes, before, w); err != nil {
		return err
	}
	f.start()
	return nil
}

func outputOf(p Process) *journalOutput { return p.(writer).written().(*journalOutput) }

// catchUp tells what was written under identifiers that were not followed
// before, in the order of time over all of them.
func (f *journalFollower) catchUp(ctx context.Context, processes []Process, before map[string]Process, w Window) error {
	type result struct {
		entries []systemd.Entry
		err     error
	}
	results := make([]result, len(processes))
	var reading sync.WaitGroup
	for i, p := range processes {
		fresh := slices.DeleteFunc(outputOf(p).names(), func(id string) bool { return before[id] == p })
		reading.Go(func() {
			r := &results[i]
			r.entries, r.err = outputOf(p).read(ctx, fresh, w)
		})
	}
	reading.Wait()
	var all []systemd.Entry
	for _, r := range results {
		if r.err != nil {
			return r.err
		}
		all = append(all, r.entries...)
	}
	slices.SortStableFunc(all, func(a, b systemd.Entry) int { return a.Time.Compare(b.Time) })
	for _, e := range all {
		f.tellEntry(e)
		f.told[e.Cursor] = true
		if e.Time.After(f.toldUntil) {
			f.toldUntil = e.Time
		}
	}
	return nil
}

func (f *journalFollower) tellEntry(e systemd.Entry) {
	if p := f.writers[e.Field("SYSLOG_IDENTIFIER")]; p != nil {
		f.tell(p, lineOf(e))
	}
}

// start lets a reader run from where the last one was.
func (f *journalFollower) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	q := linesUnder(slices.Sorted(maps.Keys(f.writers)))
	go func() {
		defer close(done)
		if len(f.writers) > 0 {
			_ = f.journal.journal.FollowFrom(ctx, q, f.from, f.take) // ends with ctx; that the journal can be read has been seen
		}
	}()
	f.stop = func() {
		cancel()
		<-done
	}
}

// take tells a line that the reader has come to, unless it has been told.
func (f *journalFollower) take(e systemd.Entry) error {
	f.from = systemd.After(e)
	if f.told[e.Cursor] {
		return nil
	}
	if e.Time.After(f.toldUntil) {
		clear(f.told)
	}
	f.tellEntry(e)
	return nil
}

// Close ends the reader.
func (f *journalFollower) Close() {
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}
