package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// survivors runs a test with processes that outlive their daemon, and with a
// daemon that has taken up nothing.
func survivors(t *testing.T, source string, test func(*testing.T, *world)) {
	t.Helper()
	inWorld(t, source, func(t *testing.T, w *world) {
		w.resume()
		test(t, w)
		for _, violation := range w.host.violations {
			t.Error(violation)
		}
	})
}

// places are where the daemons of the world remember.
func (w *world) places() StatePaths {
	return StatePaths{File: filepath.Join(w.dir, "state.json"), Active: filepath.Join(w.dir, "active.yaml")}
}

// resume starts a daemon that takes up what is there.
func (w *world) resume() {
	w.t.Helper()
	w.start(w.places())
	if err := w.Resume(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// crash kills the daemon: from now on nothing it does has an effect.
func (w *world) crash() {
	w.runner.daemon.kill()
	w.kill(errors.New("killed"))
	w.settle()
	w.state.stop()
}

// restart kills the daemon and starts the next one.
func (w *world) restart() {
	w.t.Helper()
	w.crash()
	w.resume()
}

// reboot ends everything and starts the machine again.
func (w *world) reboot() {
	w.t.Helper()
	w.crash()
	time.Sleep(time.Second) // no two instances start at the same moment
	w.host.reboot()
	w.boot += " and another"
	w.resume()
}

// diskOf is the disk as a daemon has it: each change is an effect. Nothing is
// synced: the machine does not crash, and syncing takes long.
func (w *world) diskOf(d *fakeDaemon) *disk {
	step := func(do func() error) error {
		if err := d.step(); err != nil {
			return err
		}
		w.mu.Lock()
		err := w.diskErr
		w.mu.Unlock()
		if err != nil {
			return err
		}
		return do()
	}
	return &disk{
		replace: func(path string, content []byte) error {
			return step(func() error {
				if err := os.WriteFile(path+".tmp", content, 0o600); err != nil {
					return err
				}
				return os.Rename(path+".tmp", path)
			})
		},
		rename: func(from, to string) error { return step(func() error { return os.Rename(from, to) }) },
		remove: func(path string) error { return step(func() error { return os.Remove(path) }) },
	}
}

// breakDisk makes every change of a file fail; nil mends it.
func (w *world) breakDisk(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diskErr = err
}
