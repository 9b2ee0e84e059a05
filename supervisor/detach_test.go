package supervisor

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestDetachLeavesEverythingRunning(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.mustDeploy("v2")
		before := w.host.running()
		w.host.read()
		if err := w.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.settle()
		equal(t, "running", w.host.running(), before)
		if slices.Contains(w.host.read(), "stop web@v1") {
			t.Error("the drain went on")
		}
		if _, err := w.deploy("v3"); !errors.Is(err, ErrRestarting) {
			t.Errorf("a deploy after it: %v", err)
		}
		w.kill(errors.New("the process ends"))
		w.settle()
		w.resume()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
	})
}

func TestDetachUndoesADeployThatHasNotSwitched(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		before := w.host.running()
		done := w.slowDeploy("v2")
		w.Detach(t.Context())
		if err := <-done; !errors.Is(err, errDetached) {
			t.Errorf("the deploy's answer: %v", err)
		}
		equal(t, "running", w.host.running(), before)
		if m := readState(w.places().File); len(m.Releases) != 1 {
			t.Errorf("state %+v", m.Releases)
		}
	})
}

func TestDetachAwaitsADeployThatHasSwitched(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.on("clock@v1", behaviour{stopTime: 3 * time.Second})
		done := make(chan error, 1)
		go func() {
			_, err := w.deploy("v2")
			done <- err
		}()
		w.settle()
		begun := time.Now()
		w.Detach(t.Context())
		if err := <-done; err != nil {
			t.Errorf("the deploy's answer: %v", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		if !slices.Contains(w.host.running(), "clock@v2") {
			t.Errorf("running %v", w.host.running())
		}
	})
}

func TestDetachDoesNotWaitForeverForAnOperation(t *testing.T) {
	survivors(t, shop+"shutdownTimeoutMs: 9000\n", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.on("clock@v1", behaviour{stubborn: true})
		go w.deploy("v2")
		w.settle()
		begun := time.Now()
		w.Detach(t.Context())
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("took %s", took)
		}
		w.host.on("clock@v1", behaviour{})
		w.restart()
		equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
	})
}

func TestDetachIsAShutdownWhereNothingOutlivesTheDaemon(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		if err := w.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "running", w.host.running(), []string{})
	})
}
