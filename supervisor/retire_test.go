package supervisor

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDrainWaitsForWhatIsOpen(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		done := w.openRequest("v1")
		w.mustDeploy("v2")
		time.Sleep(4 * time.Second) // played time, below the drain time-out
		w.settle()
		equal(t, "states", w.states(), []string{"v1 draining", "v2 active"})
		if !slices.Contains(w.runner.running(), "mailer@v1") {
			t.Error("a companion was stopped before the drain was over")
		}
		done()
		w.settle()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
	})
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.mustDeploy("v2")
		time.Sleep(5*time.Second - moment)
		w.settle()
		equal(t, "before", w.states(), []string{"v1 draining", "v2 active"})
		time.Sleep(2 * moment)
		w.settle()
		equal(t, "after", w.states(), []string{"v1 stopped", "v2 active"})
	})
}

func TestNonBlockingCompanionStopsWhenTheDrainBegins(t *testing.T) {
	source := strings.Replace(shop, "command: mailer}", "command: mailer, nonBlockingDrain: true}", 1)
	inBubble(t, source, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.mustDeploy("v2")
		w.settle()
		running := w.runner.running()
		if slices.Contains(running, "mailer@v1") || !slices.Contains(running, "web@v1") {
			t.Errorf("running %v", running)
		}
	})
}

func TestRetiringReleaseTakesTheNewStopSettings(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.edit("command: mailer}", "command: mailer, gracefulStopMs: 1234, stopSignal: SIGINT}")
		w.edit("drainTimeoutMs: 5000", "drainTimeoutMs: 1000")
		w.mustDeploy("v2")
		w.settle()
		mailer := w.runner.find(t, "mailer@v1")
		if stop := mailer.Spec().Stop; stop.Grace != 1234*time.Millisecond {
			t.Errorf("stop settings %+v", stop)
		}
		if !mailer.retired {
			t.Error("it would be restarted while it drains")
		}
		time.Sleep(time.Second + moment)
		w.settle()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
	})
}

func TestRetentionKeepsTheNewestStopped(t *testing.T) {
	inBubble(t, shop+"releaseRetention: {keep: 2}\n", func(t *testing.T, w *world) {
		for _, id := range []string{"v1", "v2", "v3", "v4", "v5"} {
			w.mustDeploy(id)
			time.Sleep(time.Second)
			w.settle()
		}
		equal(t, "states", w.states(), []string{"v3 stopped", "v4 stopped", "v5 active"})
	})
}

func TestRetentionOfNothing(t *testing.T) {
	inBubble(t, shop+"releaseRetention: {keep: 0}\n", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.mustDeploy("v2")
		w.settle()
		equal(t, "states", w.states(), []string{"v2 active"})
	})
}

func TestRetentionForgetsWithAge(t *testing.T) {
	inBubble(t, shop+"releaseRetention: {maxAgeMs: 60000}\n", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.mustDeploy("v2")
		time.Sleep(2 * time.Minute)
		w.mustDeploy("v3")
		w.settle()
		equal(t, "states", w.states(), []string{"v2 stopped", "v3 active"})
	})
}

func TestRequestsAreHeldWhileTheWebProcessRestarts(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.settle()
		web, upstream := w.runner.find(t, "web@v1"), w.release("v1").upstream
		if upstream.Suspended() {
			t.Fatal("held though it is healthy")
		}
		web.exit(1, false)
		w.settle()
		if !upstream.Suspended() {
			t.Error("not held while it is down")
		}
		w.setHealth("v1", errNoShell)
		time.Sleep(time.Second)
		web.rise()
		time.Sleep(time.Second)
		w.settle()
		if !upstream.Suspended() {
			t.Error("not held though it does not answer yet")
		}
		w.setHealth("v1", nil)
		time.Sleep(time.Second)
		w.settle()
		if upstream.Suspended() {
			t.Error("held though it answers again")
		}
		web.exit(1, true)
		w.settle()
		if upstream.Suspended() {
			t.Error("held though nothing will come back")
		}
	})
}
