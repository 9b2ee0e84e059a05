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

func (w *world) rollback(id string) (DeployResult, error) {
	return w.Rollback(context.Background(), RollbackArgs{ReleaseID: id}, func(any) {})
}

func TestRollbackGoesToTheReleaseThatWasActiveLast(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		for _, id := range []string{"v1", "v2", "v3"} {
			w.mustDeploy(id)
			time.Sleep(time.Second)
		}
		for _, want := range []string{"v2", "v3"} { // it toggles
			result, err := w.rollback("")
			if err != nil || result.ActiveReleaseID != want {
				t.Fatalf("%+v %v, want %s", result, err, want)
			}
			time.Sleep(time.Second)
		}
		result, err := w.rollback("v1")
		if err != nil || result.ActiveReleaseID != "v1" {
			t.Errorf("%+v %v", result, err)
		}
	})
}

func TestRollbackWithoutTarget(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		for id, says := range map[string]string{
			"":   "No previous release to roll back to.",
			"v1": `Release "v1" is already active.`,
			"v9": `No retained release "v9" to roll back to.`,
		} {
			_, err := w.rollback(id)
			if err == nil {
				t.Fatalf("rollback to %q succeeded", id)
			}
			contains(t, err.Error(), says)
		}
	})
}

func TestFailedRollbackLeavesTheDrainingTargetAlone(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.mustDeploy("v2")
		w.runner.on("web@v1", behaviour{startErr: errNoShell})
		if _, err := w.rollback("v1"); err == nil {
			t.Fatal("no error")
		}
		equal(t, "states", w.states(), []string{"v1 draining", "v2 active"})
		if !slices.Contains(w.runner.running(), "web@v1") {
			t.Error("the draining web process is gone")
		}
	})
}

func TestRollbackAfterStop(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.Stop(t.Context(), StopArgs{}, func(any) {})
		result, err := w.rollback("")
		if err != nil || result.ActiveReleaseID != "v1" || result.PreviousReleaseID != nil {
			t.Errorf("%+v %v", result, err)
		}
		equal(t, "states", w.states(), []string{"v1 active"})
	})
}

func TestStopDrainsFirst(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		done := w.openRequest("v1")
		time.AfterFunc(time.Second, done)
		begun := time.Now()
		status, err := w.Stop(t.Context(), StopArgs{}, func(any) {})
		if err != nil || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if status.ActiveReleaseID != nil || status.Releases[0].State != "stopped" {
			t.Errorf("status %+v", status)
		}
		equal(t, "running", w.runner.running(), []string{"broker@v1", "clock@v1"})
		if !slices.Contains(w.messages(), "release stopped") {
			t.Errorf("events %v", w.messages())
		}
	})
}

func TestStopNowDoesNotDrain(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		begun := time.Now()
		if _, err := w.Stop(t.Context(), StopArgs{Now: true}, func(any) {}); err != nil || time.Since(begun) > moment {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestStopOfADrainingReleaseEndsTheDrain(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.mustDeploy("v2")
		if _, err := w.Stop(t.Context(), StopArgs{ReleaseID: "v1"}, func(any) {}); err != nil {
			t.Fatal(err)
		}
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		if _, err := w.Stop(t.Context(), StopArgs{ReleaseID: "v1"}, func(any) {}); err != nil {
			t.Errorf("stopping it again: %v", err)
		}
	})
}

func TestStopOfNothing(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		for id, says := range map[string]string{"": "Release not found: active", "zz": "Release not found: zz"} {
			_, err := w.Stop(t.Context(), StopArgs{ReleaseID: id}, func(any) {})
			if err == nil {
				t.Fatal("no error")
			}
			contains(t, err.Error(), says)
		}
	})
}

func TestRestartSelects(t *testing.T) {
	source := strings.Replace(shop, "command: mailer}", "command: mailer, replicas: 2}", 1)
	inBubble(t, source, func(t *testing.T, w *world) {
		if _, err := w.Restart(t.Context(), RestartArgs{ProcessID: "mailer"}, func(any) {}); err == nil {
			t.Error("a companion without a release was restarted")
		}
		w.mustDeploy("v1")
		for _, c := range []struct {
			args RestartArgs
			want []string
			says string
		}{
			{RestartArgs{}, []string{"mailer#0", "mailer#1", "clock", "broker", "cable"}, ""},
			{RestartArgs{ProcessID: "mailer"}, []string{"mailer#0", "mailer#1"}, ""},
			{RestartArgs{ProcessID: "mailer#1"}, []string{"mailer#1"}, ""},
			{RestartArgs{Policy: "service"}, []string{"broker", "cable"}, ""},
			{RestartArgs{Policy: "singleton", ProcessID: "mailer"}, nil, `No managed process with id "mailer" to restart.`},
			{RestartArgs{Policy: "nonsense"}, nil, ""},
			{RestartArgs{Policy: "proxied"}, nil, "The proxied process cannot be restarted in place"},
			{RestartArgs{ProcessID: "web"}, nil, "The proxied process cannot be restarted in place"},
			{RestartArgs{ProcessID: "zz"}, nil, `No managed process with id "zz" to restart.`},
		} {
			result, err := w.Restart(t.Context(), c.args, func(any) {})
			if c.says != "" {
				if err == nil {
					t.Fatalf("%+v succeeded", c.args)
				}
				contains(t, err.Error(), c.says)
				continue
			}
			if err != nil || result.Restarted == nil {
				t.Errorf("%+v: %v %v", c.args, result, err)
			}
			equal(t, "restarted", result.Restarted, c.want)
		}
	})
}

func TestFailingRestartDoesNotStopTheBatch(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.on("mailer", behaviour{startErr: errNoShell})
		w.runner.on("clock", behaviour{startErr: errors.New("no clock")})
		_, err := w.Restart(t.Context(), RestartArgs{}, func(any) {})
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "process mailer: no shell", "process clock: no clock", "restarted: broker, cable")
		if st := w.status().Services[0].Process; st.State != runner.Running || st.LastStartReason != runner.Manual {
			t.Errorf("broker %+v", st)
		}
	})
}
