package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// stateFile keeps the newest state on disk. One goroutine writes: it takes the
// snapshot when a write begins, so the last write is the newest state, and one
// write serves all who asked before it. A nil stateFile keeps nothing.
type stateFile struct {
	path     string
	snapshot func() ([]byte, error)
	disk     disk
	tell     func(error)   // of a failure that is new, and with nil of its end
	interval time.Duration // between writes that nobody asked for; 0 is none

	asked chan struct{} // a place for one: something has changed, or somebody waits
	quit  chan struct{}
	done  chan struct{} // closed when nothing is written any more

	mu      sync.Mutex // guards what follows
	waiting []chan error
	failure error // of the newest write
	running bool
}

var errNotKept = errors.New("the state is not kept any more")

func newStateFile(path string, d disk, snapshot func() ([]byte, error), tell func(error)) *stateFile {
	return &stateFile{
		path: path, snapshot: snapshot, disk: d, tell: tell,
		asked: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// start begins to write. Before it nothing is written, so that what an earlier
// daemon remembered is read first.
func (f *stateFile) start() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = true
	go f.keep()
}

// touch has the state written soon.
func (f *stateFile) touch() {
	if f == nil {
		return
	}
	select {
	case f.asked <- struct{}{}:
	default:
	}
}

// save returns when the state as it is now is on disk, or with the reason why
// it is not; then it is tried again in the background.
func (f *stateFile) save() error {
	if f == nil {
		return nil
	}
	written := make(chan error, 1)
	f.mu.Lock()
	if !f.running {
		f.mu.Unlock()
		return errNotKept
	}
	f.waiting = append(f.waiting, written)
	f.mu.Unlock()
	f.touch()
	select {
	case err := <-written:
		return err
	case <-f.done:
	}
	select { // a write that ended together with the writer counts
	case err := <-written:
		return err
	default:
		return errNotKept
	}
}

// stop ends the writing.
func (f *stateFile) stop() {
	if f == nil {
		return
	}
	f.mu.Lock()
	wasRunning := f.running
	f.running = false
	f.mu.Unlock()
	if wasRunning {
		close(f.quit)
		<-f.done
	}
}

// problem is why the newest state is not on disk, nil when it is.
func (f *stateFile) problem() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

// The pauses before a failed write is tried again.
const (
	firstRetry   = time.Second
	longestRetry = time.Minute
)

// keep writes whenever something has changed, and again after a failure.
func (f *stateFile) keep() {
	defer close(f.done)
	pause := firstRetry
	for {
		unasked, stop := f.unasked(pause)
		select {
		case <-f.asked:
		case <-unasked:
		case <-f.quit:
			stop()
			return
		}
		stop()
		if f.write() == nil {
			pause = firstRetry
		} else {
			pause = min(2*pause, longestRetry)
		}
	}
}

// unasked is when to write though nobody asks.
func (f *stateFile) unasked(pause time.Duration) (<-chan time.Time, func()) {
	if f.problem() == nil {
		pause = f.interval
	}
	if pause == 0 {
		return nil, func() {}
	}
	timer := time.NewTimer(pause)
	return timer.C, func() { timer.Stop() }
}

// write writes the state once, for all who wait.
func (f *stateFile) write() error {
	f.mu.Lock()
	waiting, before := f.waiting, f.failure
	f.waiting = nil
	f.mu.Unlock()

	content, err := f.snapshot()
	if err == nil {
		err = f.disk.replace(f.path, content)
	}
	f.mu.Lock()
	f.failure = err
	f.mu.Unlock()
	if fmt.Sprint(err) != fmt.Sprint(before) {
		f.tell(err)
	}
	for _, written := range waiting {
		written <- err
	}
	return err
}

// disk is what the daemon does to its files: the functions below, unless a test
// breaks them.
type disk struct {
	replace func(path string, content []byte) error
	rename  func(from, to string) error
	remove  func(path string) error
}

var realDisk = disk{replaceFile, renameSynced, os.Remove}

// replaceFile puts content in place of what path holds, or leaves it as it was:
// whoever reads it, after a crash of the machine too, finds one or the other.
// Only its owner may read it.
func replaceFile(path string, content []byte) error {
	temporary := path + ".tmp"
	os.Remove(temporary) // of a daemon that was killed
	if err := writeSynced(temporary, content); err != nil {
		os.Remove(temporary)
		return err
	}
	return renameSynced(temporary, path)
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// renameSynced renames within a directory, for good.
func renameSynced(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
