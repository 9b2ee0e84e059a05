package systemd

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"sync"

	"github.com/godbus/dbus/v5"
)

// JobError is a job that did not end as "done".
type JobError struct {
	Unit string
	// Result is systemd's word: "failed", "canceled", "dependency", "timeout",
	// "skipped", … or Unknown.
	Result string
}

// Unknown is the result of a job that ended while nobody could hear how, and
// whose unit does not tell either.
const Unknown = "unknown"

func (e *JobError) Error() string { return e.Unit + ": job " + e.Result }

// done is the result of a job that did what it was for.
const done = "done"

// jobs are the jobs of the manager that somebody waits for. Their ids hold for
// as long as the manager lives, over reloads and connections.
type jobs struct {
	mu      sync.Mutex // guards all
	asking  int        // calls under way that will name a job
	ended   map[dbus.ObjectPath]string
	waiting map[dbus.ObjectPath][]chan string
}

// expect is called before a job is asked for, and the function it returns when
// it is waited for: in between, results are kept, since a job may end before
// its name is known.
func (j *jobs) expect() (forget func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asking++
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.asking--; j.asking == 0 {
			j.ended = nil
		}
	}
}

// wait returns a channel that gets the job's result; stop ends it.
func (j *jobs) wait(job dbus.ObjectPath) (result <-chan string, stop func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := make(chan string, 1)
	if result, ok := j.ended[job]; ok {
		c <- result
		return c, func() {}
	}
	if j.waiting == nil {
		j.waiting = map[dbus.ObjectPath][]chan string{}
	}
	j.waiting[job] = append(j.waiting[job], c)
	return c, func() { j.leave(job, c) }
}

func (j *jobs) leave(job dbus.ObjectPath, c chan string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	left := slices.DeleteFunc(j.waiting[job], func(other chan string) bool { return other == c })
	if j.waiting[job] = left; len(left) == 0 {
		delete(j.waiting, job)
	}
}

// end tells those who wait for a job how it ended.
func (j *jobs) end(job dbus.ObjectPath, result string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.asking > 0 {
		if j.ended == nil {
			j.ended = map[dbus.ObjectPath]string{}
		}
		j.ended[job] = result
	}
	for _, c := range j.waiting[job] {
		c <- result
	}
	delete(j.waiting, job)
}

// purpose is what a job is to do with its unit.
type purpose string

const (
	start   purpose = "start"
	stop    purpose = "stop"
	restart purpose = "restart"
)

// run has a job queued and waits for its end. ask returns "" when it finds that
// the job was queued, and has ended, during an earlier attempt.
func (b *Bus) run(ctx context.Context, p purpose, unit string, ask func(*connection) (dbus.ObjectPath, error)) error {
	result, err := b.result(ctx, p, unit, ask)
	if err == nil && result != done {
		return &JobError{unit, result}
	}
	return about(string(p), unit, err)
}

func (b *Bus) result(ctx context.Context, p purpose, unit string, ask func(*connection) (dbus.ObjectPath, error)) (string, error) {
	gap := b.nextGap() // one that comes while the job is asked for counts
	job, result, leave, err := b.queue(ctx, ask)
	if err != nil {
		return "", err
	}
	defer leave()
	if job == "" {
		return b.outcome(ctx, p, unit)
	}
	return b.await(ctx, p, unit, job, result, gap)
}

// queue has a job queued; leave ends the wait for its result.
func (b *Bus) queue(ctx context.Context, ask func(*connection) (dbus.ObjectPath, error)) (job dbus.ObjectPath, result <-chan string, leave func(), err error) {
	forget := b.jobs.expect()
	defer forget()
	err = b.do(ctx, func(c *connection) (err error) {
		job, err = ask(c)
		return err
	})
	if err != nil {
		return "", nil, nil, err
	}
	result, leave = b.jobs.wait(job)
	return job, result, leave, nil
}

// await waits for the end of a job. After a gap in the signals it looks whether
// there still is such a job.
func (b *Bus) await(ctx context.Context, p purpose, unit string, job dbus.ObjectPath, result <-chan string, gap <-chan struct{}) (string, error) {
	for {
		select {
		case word := <-result:
			return word, nil
		case <-ctx.Done():
			return "", fmt.Errorf("its job has not ended: %w", context.Cause(ctx))
		case <-b.ctx.Done():
			return "", errClosed
		case <-gap:
		}
		gap = b.nextGap()
		queued, err := b.queued(ctx, job)
		if err != nil {
			return "", err
		}
		if queued {
			continue
		}
		// The signal, if it came, came before the answer that the job is gone.
		select {
		case word := <-result:
			return word, nil
		default:
			return b.outcome(ctx, p, unit)
		}
	}
}

// nextGap is a channel that is closed when signals may have been lost.
func (b *Bus) nextGap() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gap
}

// queued reports whether the manager still has a job.
func (b *Bus) queued(ctx context.Context, job dbus.ObjectPath) (bool, error) {
	id, err := strconv.ParseUint(path.Base(string(job)), 10, 32)
	if err != nil {
		return false, fmt.Errorf("systemd named a job %q", job)
	}
	err = b.do(ctx, func(c *connection) error {
		_, err := c.on(ctx, "GetJob", uint32(id))
		return err
	})
	if isAnswer(err, noJob) {
		return false, nil
	}
	return err == nil, err
}

// outcome tells from the state of a unit how its job ended.
func (b *Bus) outcome(ctx context.Context, p purpose, unit string) (string, error) {
	state, err := b.Unit(ctx, unit)
	if errors.Is(err, ErrNoUnit) {
		state, err = UnitState{ActiveState: "inactive", LoadState: "not-found"}, nil
	}
	return deduce(p, state), err
}

// deduce is the most that the state of a unit says about a job that has ended.
func deduce(p purpose, state UnitState) string {
	resting := state.ActiveState == "inactive" || state.ActiveState == "failed"
	switch {
	case p == stop && resting:
		return done
	case p == stop:
		return Unknown // canceled, or started again since
	case state.ActiveState == "active" || state.ActiveState == "reloading" || state.ActiveState == "refreshing":
		return done
	case state.ActiveState == "failed" || state.ActiveState == "activating":
		return "failed" // what activates now is another try
	case state.ActiveState == "inactive" && state.ExecMainPID != 0 && state.Result == "success":
		return done // and ended by itself
	}
	return Unknown
}
