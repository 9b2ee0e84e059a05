package supervisor

import (
	"context"
	"errors"
	"testing"
	"time"
)

// slowDeploy begins a deploy of id that becomes healthy after a second, and
// returns where its error will come.
func (w *world) slowDeploy(id string) <-chan error {
	w.setHealth(id, errors.New("HTTP 503"))
	time.AfterFunc(time.Second, func() { w.setHealth(id, nil) })
	done := make(chan error, 1)
	go func() {
		_, err := w.deploy(id)
		done <- err
	}()
	w.settle()
	return done
}

func TestSecondOperationIsBusy(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		first := w.slowDeploy("v1")
		time.Sleep(300 * time.Millisecond) // played time
		for name, try := range map[string]func() error{
			"deploy":   func() error { _, err := w.deploy("v2"); return err },
			"rollback": func() error { _, err := w.Rollback(t.Context(), RollbackArgs{}, func(any) {}); return err },
			"stop":     func() error { _, err := w.Stop(t.Context(), StopArgs{}, func(any) {}); return err },
			"restart":  func() error { _, err := w.Restart(t.Context(), RestartArgs{}, func(any) {}); return err },
		} {
			err := try()
			if err == nil {
				t.Fatalf("%s ran beside a deploy", name)
			}
			contains(t, err.Error(), "busy: deploy of v1 by uid -1", "300ms")
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestWaitingOperationRunsAfterTheOther(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		first := w.slowDeploy("v1")
		result, err := w.Deploy(context.Background(), DeployArgs{ReleasePath: w.dir, ReleaseID: "v2", Wait: true}, func(any) {})
		if err != nil || *result.PreviousReleaseID != "v1" {
			t.Errorf("%+v %v", result, err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestCancelIsTooLateAfterTheSwitch(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("clock@v1", behaviour{stopTime: time.Second})
		done := make(chan error, 1)
		go func() {
			_, err := w.deploy("v2")
			done <- err
		}()
		w.settle()
		if _, err := w.Cancel(t.Context(), struct{}{}, nil); err == nil {
			t.Error("a deploy that has switched was cancelled")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		equal(t, "states", w.states()[1:], []string{"v2 active"})
	})
}

func TestCancelWithNothingUnderWay(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		if _, err := w.Cancel(t.Context(), struct{}{}, nil); err == nil {
			t.Error("something was cancelled")
		}
	})
}

func TestCancelledDeploySaysSo(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		done := w.slowDeploy("v1")
		result, err := w.Cancel(t.Context(), struct{}{}, nil)
		if err != nil || result.Cancelled != "deploy" {
			t.Fatalf("%+v %v", result, err)
		}
		if err := <-done; !errors.Is(err, errCancelled) {
			t.Errorf("error %v", err)
		}
		equal(t, "running", w.runner.running(), []string{})
	})
}
