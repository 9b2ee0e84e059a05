package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// isResumed reports whether the daemon says that it is back.
func (w *world) isResumed() bool {
	select {
	case <-w.Resumed():
		return true
	default:
		return false
	}
}

func (w *world) mustHaveNoted(messages ...string) {
	w.t.Helper()
	for _, message := range messages {
		if !slices.Contains(w.messages(), message) {
			w.t.Errorf("no event %q: %v", message, w.messages())
		}
	}
}

func started(diary []string) (names []string) {
	for _, line := range diary {
		if name, ok := strings.CutPrefix(line, "start "); ok {
			names = append(names, name)
		}
	}
	return names
}

func TestRestartOfTheDaemonTouchesNoProcess(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		time.Sleep(time.Second)
		w.mustDeploy("v2")
		w.settle()
		before := w.status()
		w.host.read()
		w.restart()
		diary := w.host.read()
		slices.Sort(diary)
		equal(t, "diary", diary, []string{"adopt broker@v1", "adopt cable@v2", "adopt clock@v2", "adopt mailer@v2", "adopt web@v2"})
		if !w.isResumed() || w.proxy.Active() != w.release("v2").upstream || w.release("v2").upstream.Suspended() {
			t.Error("the release does not serve")
		}
		after := w.status()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		for i := range before.Releases {
			b, a := before.Releases[i], after.Releases[i]
			if b.ActivatedAt != a.ActivatedAt || b.Revision != a.Revision || b.StoppedAt != a.StoppedAt || b.Ports["cable"] != a.Ports["cable"] {
				t.Errorf("release before %+v\nafter %+v", b, a)
			}
		}
		if b, a := before.Services[0].Process, after.Services[0].Process; b.Command != a.Command || b.StartedAt != a.StartedAt {
			t.Errorf("service before %+v\nafter %+v", b, a)
		}
		result, err := w.rollback("")
		if err != nil || result.ActiveReleaseID != "v1" || result.Generation != 2 {
			t.Errorf("rollback: %+v %v", result, err)
		}
	})
}

func TestDrainGoesOnForTheTimeThatIsLeft(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		begun := time.Now()
		w.openRequest("v1")
		w.mustDeploy("v2")
		time.Sleep(4 * time.Second)
		w.crash()
		w.start(w.places())
		rel := (&resumption{s: w.Supervisor}).restore(readState(w.places().File).Releases[0])
		rel.state, rel.config = draining, w.currentConfig()
		rel.upstream.Retain("a connection that has outlived its daemon")
		w.Supervisor.mu.Lock()
		w.drainLocked(rel, rel.config)
		w.Supervisor.mu.Unlock()
		<-rel.gone
		if took := time.Since(begun).Round(time.Millisecond); took != 5*time.Second {
			t.Errorf("it drained for %s in all", took)
		}
	})
}

func TestDrainOfADaemonThatIsGoneIsEnded(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1") // it ends with the daemon
		w.mustDeploy("v2")
		w.restart()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
		w.mustHaveNoted("release drained")
	})
}

func TestBootBringsTheLastGoodReleaseBackInOrder(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.mustDeploy("v2")
		w.settle()
		w.host.read()
		w.setHealth("v2", errors.New("HTTP 503"))
		w.reboot()
		equal(t, "before it is healthy", w.host.read(), []string{"start broker@v2", "start cable@v2", "start mailer@v2", "start web@v2"})
		if !w.release("v2").upstream.Suspended() || w.isResumed() {
			t.Error("requests are not held until it is healthy")
		}
		w.setHealth("v2", nil)
		time.Sleep(time.Second)
		w.settle()
		equal(t, "after it is healthy", w.host.read(), []string{"start clock@v2"})
		if w.release("v2").upstream.Suspended() || !w.isResumed() {
			t.Error("the release does not serve")
		}
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		w.mustDeploy("v3")
	})
}

func TestReleaseThatCannotComeBackIsTriedAgain(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.on("web", behaviour{startErr: errNoShell})
		w.reboot()
		if !w.isResumed() || w.proxy.Active() != nil {
			t.Error("it is not said that the release is not back")
		}
		contains(t, strings.Join(w.status().Problems, "\n"), "release v1 is not back: process web: no shell")
		w.mustHaveNoted("process not brought back", "release not brought back")
		if !slices.Contains(w.host.running(), "clock@v1") {
			t.Errorf("singletons wait for the web process: %v", w.host.running())
		}
		w.host.on("web", behaviour{owner: runner.Own})
		time.Sleep(longestRetry)
		w.settle()
		if w.proxy.Active() == nil || w.release("v1").upstream.Suspended() || len(w.status().Problems) > 0 {
			t.Errorf("it did not come back: %v", w.status().Problems)
		}
	})
}

func TestDeployGoesBeforeAReleaseThatCannotComeBack(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.on("web@v1", behaviour{startErr: errNoShell})
		w.reboot()
		w.mustDeploy("v2")
		time.Sleep(2 * longestRetry)
		w.settle()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
		if len(w.status().Problems) > 0 {
			t.Errorf("problems %v", w.status().Problems)
		}
	})
}

func TestSilentReleaseDoesNotKeepTheDaemonFromReady(t *testing.T) {
	survivors(t, shop+"resumeTimeoutMs: 40000\n", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.setHealth("v1", errSilent)
		w.reboot()
		time.Sleep(40*time.Second - moment)
		w.settle()
		if w.isResumed() {
			t.Error("it is said to be back too early")
		}
		time.Sleep(2 * moment)
		w.settle()
		if !w.isResumed() {
			t.Error("the daemon does not become ready")
		}
		contains(t, strings.Join(w.status().Problems, "\n"), "release v1 is not back: it did not answer")
		w.setHealth("v1", nil)
		time.Sleep(10 * time.Second)
		w.settle()
		if w.release("v1").upstream.Suspended() || len(w.status().Problems) > 0 {
			t.Error("it answers, but does not serve")
		}
	})
}

func TestDeployIsBusyOnlyWhileProcessesAreStarted(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.setHealth("v1", errSilent)
		w.reboot()
		w.mustDeploy("v2")
		w.settle()
		equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
	})
}

func TestStoppedReleaseDoesNotComeBack(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		if _, err := w.Stop(t.Context(), StopArgs{}, func(any) {}); err != nil {
			t.Fatal(err)
		}
		w.restart()
		equal(t, "running", w.host.running(), []string{"broker@v1", "clock@v1"})
		equal(t, "states", w.states(), []string{"v1 stopped"})
		if st := w.status(); st.ActiveReleaseID != nil || len(st.Services) != 1 || len(st.Singletons) != 1 {
			t.Errorf("status %+v", st)
		}
		w.reboot()
		equal(t, "running after a boot", w.host.running(), []string{})
		if _, err := w.rollback(""); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownIsNotAStop(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		if err := w.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "running", w.host.running(), []string{})
		w.resume()
		equal(t, "running again", w.host.running(), []string{"broker@v1", "cable@v1", "clock@v1", "mailer@v1", "web@v1"})
		equal(t, "states", w.states(), []string{"v1 active"})
	})
}

func TestInterruptedDeployIsUndone(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		before := w.host.running()
		w.slowDeploy("v2")
		w.restart()
		equal(t, "running", w.host.running(), before)
		equal(t, "states", w.states(), []string{"v1 active"})
		w.mustHaveNoted("interrupted deploy undone", "left-over process stopped")
		if result, err := w.deploy("v2"); err != nil || result.Generation != 2 {
			t.Errorf("%+v %v", result, err)
		}
	})
}

func TestInterruptedFirstDeployLeavesNoService(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.slowDeploy("v1")
		if !slices.Contains(w.host.running(), "broker@v1") {
			t.Fatal("the service does not run")
		}
		w.restart()
		equal(t, "running", w.host.running(), []string{})
		equal(t, "states", w.states(), nil)
	})
}

func TestSingletonOfTheOldReleaseIsReplaced(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.on("clock@v1", behaviour{stopTime: time.Minute})
		go w.deploy("v2")
		w.settle()
		w.host.on("clock@v1", behaviour{stopTime: time.Second})
		w.host.read()
		w.restart()
		time.Sleep(2 * time.Second)
		w.settle()
		equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
		diary := w.host.read()
		if slices.Index(diary, "stopped clock@v1") > slices.Index(diary, "start clock@v2") {
			t.Errorf("two at once: %v", diary)
		}
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
	})
}

func TestSingletonThatCannotBeAdoptedIsNotStartedTwice(t *testing.T) {
	survivors(t, shop+"resumeTimeoutMs: 1000\n", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.on("clock", behaviour{adoptErr: errors.New("the bus is gone")})
		w.host.read()
		w.restart()
		time.Sleep(time.Minute)
		w.settle()
		equal(t, "started", started(w.host.read()), nil)
		w.mustHaveNoted("process not adopted")
		equal(t, "running", w.host.running(), []string{"broker@v1", "cable@v1", "clock@v1", "mailer@v1", "web@v1"})
	})
}

func TestWhatNobodyOwnsIsStoppedAndStrangersAreNot(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		lost := w.runner.New(config.Spec{Process: "lost", Instance: "lost", Policy: config.Companion, Release: "v0", Generation: 1}, func(runner.Event) {})
		if err := lost.Start(t.Context(), runner.Deploy); err != nil {
			t.Fatal(err)
		}
		w.host.strangers = []string{"rollbridge-shop.web.v1.1.scope"}
		w.restart()
		equal(t, "running", w.host.running(), []string{"broker@v1", "cable@v1", "clock@v1", "mailer@v1", "web@v1"})
		w.mustHaveNoted("left-over process stopped", "unit without a definition left alone")
	})
}

func TestGivenUpProcessStaysGivenUp(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.find(t, "broker@v1").exit(1, true)
		w.host.find(t, "mailer@v1").exit(1, true)
		w.host.read()
		w.restart()
		time.Sleep(time.Minute)
		w.settle()
		equal(t, "started", started(w.host.read()), nil)
		if st := w.status(); !st.Services[0].Process.GaveUp || st.Services[0].Process.Restarts != 1 {
			t.Errorf("service %+v", st.Services[0].Process)
		}
	})
}

func TestOnlyWhatIsGoneIsStarted(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.crash()
		for _, name := range []string{"mailer@v1", "clock@v1"} {
			w.host.find(t, name).endStop()
		}
		w.host.read()
		w.resume()
		equal(t, "started", started(w.host.read()), []string{"mailer@v1", "clock@v1"})
		if w.release("v1").upstream.Suspended() {
			t.Error("requests are held though the web process answers")
		}
	})
}

func TestWebProcessRestartedMeanwhileIsAskedForItsHealth(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.crash()
		time.Sleep(time.Second)
		w.host.find(t, "web@v1").rise()
		w.setHealth("v1", errNoShell)
		w.resume()
		if !w.release("v1").upstream.Suspended() {
			t.Error("requests go to an instance that nobody has seen healthy")
		}
		w.setHealth("v1", nil)
		time.Sleep(time.Second)
		w.settle()
		if w.release("v1").upstream.Suspended() || !w.isResumed() {
			t.Error("it does not serve")
		}
	})
}

func TestResumeFailsWhenItIsNotKnownWhatRuns(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		before := w.host.running()
		w.crash()
		w.host.leftErr = errors.New("no bus")
		w.start(w.places())
		if err := w.Resume(t.Context()); err == nil {
			t.Error("no error")
		}
		equal(t, "running", w.host.running(), before)
		w.host.leftErr = nil
		w.restart()
		equal(t, "states", w.states(), []string{"v1 active"})
	})
}

func TestOtherApplicationIsRefused(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		rename := func(wantHint string) {
			t.Helper()
			w.edit("application: shop", "application: store")
			_, err := w.deploy("v1")
			if told, ok := errors.AsType[*control.Error](err); !ok || !strings.HasPrefix(told.Hint, wantHint) {
				t.Errorf("%v", err)
			}
			w.edit("application: store", "application: shop")
		}
		rename("take these changes back, or restart the daemon") // nothing is named after it yet
		w.mustDeploy("v1")
		rename("set `application: shop` again")
		w.crash()
		w.edit("application: shop", "application: store")
		w.start(w.places())
		err := w.Resume(t.Context())
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), `remembers application "shop", not "store"`)
		w.edit("application: store", "application: shop")
		w.restart()
	})
}

func TestUnprovenEditDoesNotComeBack(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.edit("command: mailer}", "command: mailer --unproven}")
		w.edit("drainTimeoutMs: 5000", "drainTimeoutMs: 7000")
		w.reboot()
		if command := w.host.find(t, "mailer@v1").Spec().Command; command != "mailer" {
			t.Errorf("it came back with %q", command)
		}
		if w.currentConfig().Proxy.DrainTimeout != 5*time.Second {
			t.Error("the edit is in force")
		}
		w.mustHaveNoted("configuration changed since the last deploy")
		w.mustDeploy("v2")
		w.settle()
		w.reboot()
		if command := w.host.find(t, "mailer@v2").Spec().Command; command != "mailer --unproven" {
			t.Errorf("it came back with %q", command)
		}
	})
}

func TestChangesThatNeedARestartHoldAfterOne(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.edit("  - {id: clock, policy: singleton, command: clock}\n", "")
		w.edit("  - {id: broker, policy: service, command: broker, port: 0}\n", "  - {id: cron, policy: singleton, command: cron}\n")
		if _, err := w.deploy("v2"); err == nil {
			t.Fatal("accepted live")
		}
		w.restart()
		equal(t, "running before the deploy", w.host.running(), []string{"broker@v1", "cable@v1", "clock@v1", "mailer@v1", "web@v1"})
		w.mustDeploy("v2")
		w.settle()
		equal(t, "running", w.host.running(), []string{"cable@v2", "cron@v2", "mailer@v2", "web@v2"})
		w.restart()
		equal(t, "running after another restart", w.host.running(), []string{"cable@v2", "cron@v2", "mailer@v2", "web@v2"})
	})
}

func TestLostConfigurationInForceIsReplacedByTheFile(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.edit("drainTimeoutMs: 5000", "drainTimeoutMs: 7000")
		for _, text := range []string{"", "proxy: ["} {
			w.crash()
			if text == "" {
				os.Remove(w.places().Active)
			} else if err := os.WriteFile(w.places().Active, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			w.resume()
			equal(t, "states", w.states(), []string{"v1 active"})
			if text == "" {
				w.mustHaveNoted("configuration in force not usable")
			}
			if kept, _ := os.ReadFile(w.places().Active); string(kept) != w.source {
				t.Errorf("kept %q", kept)
			}
		}
	})
}

func TestTemplateThatCannotBeFilledAnyMoreStopsNothing(t *testing.T) {
	t.Setenv("MAILER_KEY", "x")
	survivors(t, strings.Replace(shop, "command: mailer}", "command: 'mailer {{env.MAILER_KEY}}'}", 1), func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		before := w.host.running()
		w.host.read()
		os.Unsetenv("MAILER_KEY")
		w.restart()
		equal(t, "running", w.host.running(), before)
		equal(t, "started", started(w.host.read()), nil)
		w.mustHaveNoted("release not rendered")
		if w.release("v1").upstream.Suspended() || w.proxy.Active() == nil {
			t.Error("it does not serve")
		}
	})
}

func TestMovedStateIsFound(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.read()
		w.crash()
		places := w.places()
		moved := StatePaths{File: places.File + ".moved", Active: places.Active, Before: []string{places.File}}
		w.start(moved)
		if err := w.Resume(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.settle()
		equal(t, "states", w.states(), []string{"v1 active"})
		equal(t, "started", started(w.host.read()), nil)
		if _, err := os.Stat(places.File); err == nil {
			t.Error("the old state is still there")
		}
		if m := readState(moved.File); m.active() == nil {
			t.Errorf("the state in the new place: %+v", m)
		}
	})
}

// stateObject is the state file as any program reads it.
func (w *world) stateObject() map[string]any {
	w.t.Helper()
	b, err := os.ReadFile(w.places().File)
	if err != nil {
		w.t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(b, &state); err != nil {
		w.t.Fatal(err)
	}
	return state
}

func TestStateOfAnInstanceThatIsGoneIsSetAside(t *testing.T) {
	for gone, states := range map[string][]string{
		"configuration and release":           {},
		"configuration":                       {"v1 active"},
		"release":                             {"v1 active"},
		"configuration and release, it is up": {"v1 active"},
	} {
		survivors(t, shop, func(t *testing.T, w *world) {
			w.mustDeploy("v1")
			w.crash()
			state := w.stateObject()
			state["config"] = w.dir // another one, which exists
			if strings.Contains(gone, "configuration") {
				state["config"] = filepath.Join(w.dir, "gone.yaml")
			}
			if strings.Contains(gone, "release") {
				state["releases"].([]any)[0].(map[string]any)["releasePath"] = filepath.Join(w.dir, "gone")
			}
			text, err := json.Marshal(state)
			if err == nil {
				err = os.WriteFile(w.places().File, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(gone, "it is up") {
				w.host.reboot()
				w.boot += " and another"
			}
			w.resume()
			equal(t, gone+" gone: states", w.states(), states)
			kept, _ := filepath.Glob(w.places().File + ".gone-*")
			if len(kept) != 0 != (len(states) == 0) {
				t.Errorf("%s gone: kept %v", gone, kept)
			}
		})
	}
}
