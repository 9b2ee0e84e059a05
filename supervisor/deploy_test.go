package supervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/runner"
)

func TestDeployStartsInOrderAndSwitches(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		result, err := w.deploy("v1")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "diary", w.runner.read(), []string{
			"start broker@v1", "start cable@v1", "start mailer@v1", "start web@v1", "start clock@v1",
		})
		if result.ActiveReleaseID != "v1" || result.PreviousReleaseID != nil || result.Generation != 1 {
			t.Errorf("result %+v", result)
		}
		equal(t, "states", w.states(), []string{"v1 active"})
	})
}

func TestSecondDeployReplacesTheFirst(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.read()
		result, err := w.deploy("v2")
		if err != nil {
			t.Fatal(err)
		}
		w.settle()
		diary := w.runner.read()
		equal(t, "before and at the switch", diary[:6], []string{
			"start cable@v2", "start mailer@v2", "start web@v2", "stop clock@v1", "stopped clock@v1", "start clock@v2",
		})
		if last := diary[len(diary)-1]; last != "stopped cable@v1" {
			t.Errorf("the handoff service is not the last to stop: %v", diary)
		}
		if *result.PreviousReleaseID != "v1" {
			t.Errorf("previous release %v", *result.PreviousReleaseID)
		}
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		equal(t, "running", w.runner.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
	})
}

func TestFailedDeployLeavesNothing(t *testing.T) {
	for name, breakIt := range map[string]func(*world){
		"a companion cannot start": func(w *world) { w.runner.on("mailer@v2", behaviour{startErr: errNoShell}) },
		"web cannot start":         func(w *world) { w.runner.on("web@v2", behaviour{startErr: errNoShell}) },
		"web is not healthy":       func(w *world) { w.setHealth("v2", errors.New("HTTP 500")) },
		"web is silent":            func(w *world) { w.setHealth("v2", errSilent) },
		"web exits": func(w *world) {
			w.setHealth("v2", errSilent)
			time.AfterFunc(time.Second, func() { w.runner.find(w.t, "web@v2").exit(3, false) })
		},
		"a companion gives up": func(w *world) {
			w.setHealth("v2", errors.New("HTTP 503"))
			time.AfterFunc(time.Second, func() {
				w.runner.find(w.t, "mailer@v2").exit(127, true)
				w.setHealth("v2", nil)
			})
		},
		"another process has the port": func(w *world) { w.runner.on("web@v2", behaviour{owner: runner.Foreign}) },
		"it is cancelled": func(w *world) {
			w.setHealth("v2", errSilent)
			time.AfterFunc(time.Second, func() { w.Cancel(context.Background(), struct{}{}, nil) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, shop, func(t *testing.T, w *world) {
				w.mustDeploy("v1")
				before := w.runner.running()
				breakIt(w)
				w.edit("drainTimeoutMs: 5000", "drainTimeoutMs: 7000")
				_, err := w.deploy("v2")
				if err == nil {
					t.Fatal("the deploy succeeded")
				}
				w.settle()
				equal(t, "running", w.runner.running(), before)
				equal(t, "states", w.states(), []string{"v1 active"})
				if w.currentConfig().Proxy.DrainTimeout != 5*time.Second {
					t.Error("the configuration of a failed deploy is in force")
				}
				if !slices.Contains(w.messages(), "deploy failed") {
					t.Errorf("no event says so: %v", w.messages())
				}
				w.setHealth("v3", nil)
				w.mustDeploy("v3")
			})
		})
	}
}

func TestFailedFirstDeployStopsTheServiceItStarted(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.setHealth("v1", errors.New("HTTP 500"))
		_, err := w.deploy("v1")
		if err == nil {
			t.Fatal("the deploy succeeded")
		}
		contains(t, err.Error(), "start release v1: ", "Health check failed for http://127.0.0.1:", "/ping: HTTP 500")
		equal(t, "running", w.runner.running(), []string{})
		if len(w.status().Services) != 0 {
			t.Errorf("services are listed: %+v", w.status().Services)
		}
	})
}

func TestFailureSaysHowTheProcessEnded(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.setHealth("v1", errSilent)
		time.AfterFunc(time.Second, func() {
			p := w.runner.find(t, "web@v1")
			p.mu.Lock()
			p.lines = []runner.Line{{Text: "cannot find module x"}}
			p.mu.Unlock()
			p.exit(3, false)
		})
		begun := time.Now()
		_, err := w.deploy("v1")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the exit was noticed after %s", took)
		}
		contains(t, err.Error(), "process web: exited with status 3 before it was healthy")
		out := describe(err)
		equal(t, "output", out.Output, []string{"cannot find module x"})
		if !w.runner.find(t, "web@v1").settled {
			t.Error("the last lines were not waited for")
		}
		for _, e := range mustEvents(w) {
			if strings.Contains(e.Message, "cannot find") {
				t.Errorf("output stands in the event %+v", e)
			}
		}
	})
}

func mustEvents(w *world) []Event {
	events, _, _ := w.events.since(0)
	return events
}

func TestHealthAttemptNeverOutlastsTheTimeout(t *testing.T) {
	inBubble(t, strings.Replace(shop, "command: web,", "command: web, health: {timeoutMs: 500},", 1), func(t *testing.T, w *world) {
		w.setHealth("v1", errSilent)
		begun := time.Now()
		_, err := w.deploy("v1")
		if took := time.Since(begun); took != 500*time.Millisecond {
			t.Errorf("took %s", took)
		}
		contains(t, err.Error(), "no answer within 500ms")
	})
}

func TestHealthWaitsForTheStartDelay(t *testing.T) {
	inBubble(t, strings.Replace(shop, "command: web,", "command: web, health: {startDelayMs: 700},", 1), func(t *testing.T, w *world) {
		begun := time.Now()
		w.mustDeploy("v1")
		if took := time.Since(begun); took != 700*time.Millisecond {
			t.Errorf("took %s", took)
		}
	})
}

func TestCompanionInBackoffIsAWarning(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.setHealth("v1", errors.New("HTTP 503"))
		time.AfterFunc(time.Second, func() {
			w.runner.find(t, "mailer@v1").exit(127, false)
			w.setHealth("v1", nil)
		})
		result, err := w.deploy("v1")
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Warnings) != 1 || result.Warnings[0].ProcessID != "mailer" {
			t.Fatalf("warnings %+v", result.Warnings)
		}
		contains(t, result.Warnings[0].Message, "exited with status 127")
	})
}

func TestUnknownPortOwnerIsAWarning(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.runner.on("web", behaviour{owner: runner.Undetermined})
		result, err := w.deploy("v1")
		if err != nil || len(result.Warnings) != 1 {
			t.Fatalf("%+v %v", result, err)
		}
	})
}

func TestSingletonFailureStillDrainsThePrevious(t *testing.T) {
	source := strings.Replace(shop, "  - {id: broker", "  - {id: sweeper, policy: singleton, command: sweeper}\n  - {id: broker", 1)
	inBubble(t, source, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("clock@v2", behaviour{startErr: errNoShell})
		_, err := w.deploy("v2")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "release v2 is active, but: singleton clock: no shell")
		w.settle()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		equal(t, "running", w.runner.running(), []string{"broker@v2", "cable@v2", "mailer@v2", "sweeper@v2", "web@v2"})
		if st := w.status().Singletons[0].Process.State; st != runner.Failed {
			t.Errorf("the singleton is %s", st)
		}
	})
}

func TestSingletonThatDoesNotEndIsNotDoubled(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("clock@v1", behaviour{stopErr: errors.New("pid 7 is still there")})
		_, err := w.deploy("v2")
		if err == nil || slices.Contains(w.runner.running(), "clock@v2") {
			t.Fatalf("error %v, running %v", err, w.runner.running())
		}
		contains(t, err.Error(), "pid 7 is still there")
	})
}

func TestSlowSingletonDelaysTheAnswerNotTheSwitch(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("clock@v1", behaviour{stopTime: time.Second})
		time.AfterFunc(500*time.Millisecond, func() { equal(t, "states", w.states(), []string{"v1 active", "v2 active"}) })
		begun := time.Now()
		w.mustDeploy("v2")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestServiceKeepsRunningAndTakesTheNewDefinition(t *testing.T) {
	inBubble(t, strings.Replace(shop, "command: broker", "command: 'broker {{releaseId}}'", 1), func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		port := w.status().Services[0].Process.Port
		w.mustDeploy("v2")
		w.settle()
		service := w.status().Services[0].Process
		if service.Command != "broker v2" || service.Port != port || service.PID != 1 {
			t.Errorf("service %+v", service)
		}
		if diary := strings.Join(w.runner.read(), ","); strings.Contains(diary, "stop broker") {
			t.Errorf("the service was stopped: %s", diary)
		}
	})
}

func TestDeployRevivesAServiceThatGaveUp(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.find(t, "broker@v1").exit(1, true)
		w.mustDeploy("v2")
		w.settle()
		if !slices.Contains(w.runner.running(), "broker@v2") {
			t.Errorf("running %v", w.runner.running())
		}
	})
}

func TestDeployOfTheActiveIDIsANewGeneration(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		done := w.openRequest("v1")
		result, err := w.deploy("v1")
		if err != nil || result.Generation != 2 || *result.PreviousReleaseID != "v1" {
			t.Fatalf("%+v %v", result, err)
		}
		w.settle()
		equal(t, "states", w.states(), []string{"v1 draining", "v1 active"})
		done()
		w.settle()
		equal(t, "states", w.states(), []string{"v1 active"})
	})
}

func TestPortsOfOneDeployAreDistinctAndOursAreKept(t *testing.T) {
	source := strings.ReplaceAll(shop, "port: {from: 41000, to: 41999}", "port: {from: 42000, to: 42999}")
	inBubble(t, source, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1") // keeps v1 draining, though nothing listens on its ports
		w.mustDeploy("v2")
		ports := map[int]bool{}
		for _, r := range w.status().Releases {
			ports[r.Ports["cable"]] = true
		}
		if len(ports) != 2 {
			t.Errorf("both releases have one port: %v", ports)
		}
	})
}

func TestMissingTemplateValueFailsBeforeAnythingStarts(t *testing.T) {
	inBubble(t, strings.Replace(shop, "command: clock", "command: 'clock {{nope}}'", 1), func(t *testing.T, w *world) {
		_, err := w.deploy("v1")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "Missing template value for {{nope}}")
		equal(t, "diary", w.runner.read(), nil)
	})
}

func TestBadReleaseIsRefusedInWords(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		for _, c := range []struct {
			args DeployArgs
			says string
		}{
			{DeployArgs{}, "releasePath is required"},
			{DeployArgs{ReleasePath: w.dir + "/missing"}, "/missing does not exist"},
			{DeployArgs{ReleasePath: w.dir, ReleaseID: "../etc"}, `releaseId "../etc" is not a safe identifier`},
			{DeployArgs{ReleasePath: w.dir, ReleaseID: "a", Revision: "b c"}, `revision "b c" is not a safe identifier`},
			{DeployArgs{ReleasePath: w.dir, ConfigPath: "/srv/other/rollbridge.yaml"}, "the daemon reads /srv/shop/rollbridge.yaml"},
		} {
			_, err := w.Deploy(context.Background(), c.args, func(any) {})
			if err == nil {
				t.Errorf("%+v was accepted", c.args)
				continue
			}
			contains(t, err.Error(), c.says)
		}
	})
}

func TestReleaseIDDefaults(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		result, err := w.Deploy(context.Background(), DeployArgs{ReleasePath: w.dir, Revision: "abc"}, func(any) {})
		if err != nil || result.ActiveReleaseID != "abc" {
			t.Errorf("%+v %v", result, err)
		}
		result, err = w.Deploy(context.Background(), DeployArgs{ReleasePath: w.dir}, func(any) {})
		if err != nil || len(result.ActiveReleaseID) != 17 {
			t.Errorf("%+v %v", result, err)
		}
	})
}

func TestRefusedConfigChangesAreNamed(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.edit("application: shop", "application: store")
		w.edit("{id: mailer, command: mailer}", "{id: mailer, command: mailer, replicas: 2}")
		_, err := w.deploy("v2")
		if err == nil {
			t.Fatal("accepted")
		}
		contains(t, err.Error(), "Config changes to application, control, processes cannot be applied live; restart the Rollbridge daemon before deploying.")
		equal(t, "states", w.states(), []string{"v1 active"})
	})
}

func TestDeployEventsComeInOrder(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		equal(t, "events", w.messages(), []string{
			"deploy starting", "process started", "process started", "process started", "process started", "traffic switched", "process started",
		})
		w.setHealth("v2", errors.New("HTTP 500"))
		w.deploy("v2")
		messages := w.messages()
		first, last := slices.Index(messages, "release startup failed"), slices.Index(messages, "deploy failed")
		if first < 0 || last < first || strings.Count(strings.Join(messages, ","), "release startup process status") != 6 {
			t.Errorf("events %v", messages)
		}
	})
}
