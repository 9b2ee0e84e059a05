package supervisor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestShutdownStopsEverythingServicesLast(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.read()
		if err := w.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "running", w.runner.running(), []string{})
		diary := w.runner.read()
		if last := diary[len(diary)-1]; last != "stopped broker@v1" {
			t.Errorf("diary %v", diary)
		}
		if _, err := w.deploy("v2"); !errors.Is(err, errShuttingDown) {
			t.Errorf("a deploy after the shutdown: %v", err)
		}
	})
}

func TestShutdownIsBounded(t *testing.T) {
	inBubble(t, shop+"shutdownTimeoutMs: 9000\n", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("mailer", behaviour{stubborn: true})
		begun := time.Now()
		w.Shutdown(t.Context())
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("took %s", took)
		}
		equal(t, "running", w.runner.running(), []string{})
		if !slices.Contains(w.runner.read(), "kill mailer@v1") {
			t.Error("the stubborn process was not killed")
		}
	})
}

func TestShutdownUndoesADeployThatHasNotSwitched(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		done := w.slowDeploy("v2")
		w.Shutdown(t.Context())
		if err := <-done; !errors.Is(err, errShutdown) {
			t.Errorf("the deploy's answer: %v", err)
		}
		equal(t, "running", w.runner.running(), []string{})
	})
}

func TestShutdownWhileSingletonsAreReplacedStartsNoMore(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("clock@v1", behaviour{stopTime: time.Second})
		done := make(chan error, 1)
		go func() {
			_, err := w.deploy("v2")
			done <- err
		}()
		w.settle()
		w.Shutdown(t.Context())
		if err := <-done; err == nil || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("the deploy's answer: %v", err)
		}
		equal(t, "running", w.runner.running(), []string{})
		if slices.Contains(w.runner.read(), "start clock@v2") {
			t.Error("a singleton was started during the shutdown")
		}
	})
}

func TestShutdownDuringRestartLeavesNothing(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("broker", behaviour{stopTime: time.Second})
		done := make(chan struct{})
		go func() {
			w.Restart(t.Context(), RestartArgs{Policy: "service"}, func(any) {})
			close(done)
		}()
		w.settle()
		w.Shutdown(t.Context())
		<-done
		equal(t, "running", w.runner.running(), []string{})
	})
}

func TestSecondShutdownWaitsForTheFirst(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("broker", behaviour{stopTime: time.Second})
		go w.Shutdown(t.Context())
		w.settle()
		w.Shutdown(t.Context())
		equal(t, "running", w.runner.running(), []string{})
	})
}

func TestShutdownReportsWhatItCouldNotStop(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("mailer", behaviour{stopErr: errors.New("pid 7 is still there")})
		w.runner.on("broker", behaviour{stopErr: errors.New("pid 8 is still there")})
		err := w.Shutdown(t.Context())
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "stop mailer: pid 7 is still there", "; ", "stop broker: pid 8 is still there")
	})
}
