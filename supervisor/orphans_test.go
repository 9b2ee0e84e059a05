package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"rollbridge/supervisor/runner"
)

// mortals runs a test with a daemon whose processes end with it, and that keeps a
// state file all the same.
func mortals(t *testing.T, before string, test func(*testing.T, *world)) {
	t.Helper()
	inWorld(t, shop, func(t *testing.T, w *world) {
		if before != "" {
			if err := os.WriteFile(w.places().File, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.start(StatePaths{File: w.places().File})
		if err := w.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.settle()
		test(t, w)
	})
}

func TestStateFileOfMortalsIsRemovedByACleanShutdown(t *testing.T) {
	mortals(t, "", func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.settle()
		if state := w.stateObject(); state["activeReleaseId"] != "v1" || state["persistedAt"] == "" {
			t.Errorf("state %v", state)
		}
		w.Shutdown(t.Context())
		if _, err := os.Stat(w.places().File); !os.IsNotExist(err) {
			t.Errorf("the file: %v", err)
		}
	})
}

func TestOrphansAreReportedKeptAndLeftAlone(t *testing.T) {
	alive := exec.Command("sleep", "600")
	if err := alive.Start(); err != nil {
		t.Fatal(err)
	}
	defer alive.Wait()
	defer alive.Process.Kill()
	pid := alive.Process.Pid
	// As the Node original writes it: no versions, no refs.
	before := fmt.Sprintf(`{"activeReleaseId":"v1","application":"shop","orphans":[],"events":[],"persistedAt":"2026-01-01T00:00:00.000Z",
		"releases":[{"releaseId":"v1","state":"active","processes":[{"id":"web","pid":%d,"state":"running"},{"id":"mailer","state":"stopped"}]}],
		"services":[{"id":"broker","process":{"id":"broker","pid":%d,"state":"running"}}],"singletons":[]}`, pid, 1<<30)
	mortals(t, before, func(t *testing.T, w *world) {
		w.mustHaveNoted("orphaned managed process detected", "orphaned processes from a previous daemon")
		orphans := w.status().Orphans
		if len(orphans) != 1 || orphans[0].ID != "web" || orphans[0].PID != pid || *orphans[0].ReleaseID != "v1" {
			t.Errorf("orphans %+v", orphans)
		}
		if w.status().ActiveReleaseID != nil || len(w.states()) != 0 {
			t.Error("something came back")
		}
		w.mustDeploy("v2")
		w.Shutdown(t.Context())
		state := w.stateObject()
		if len(state["orphans"].([]any)) != 1 || state["activeReleaseId"] != nil {
			t.Errorf("state %v", state)
		}
		if !(runner.Ref{PID: pid}).Alive() {
			t.Error("it was stopped")
		}
	})
}

func TestOrphansThatEndAreForgotten(t *testing.T) {
	alive := exec.Command("sleep", "600")
	if err := alive.Start(); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"orphans": []any{map[string]any{"id": "web", "pid": alive.Process.Pid, "releaseId": nil}}, "releases": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	mortals(t, string(b), func(t *testing.T, w *world) {
		if len(w.status().Orphans) != 1 {
			t.Errorf("orphans %+v", w.status().Orphans)
		}
		alive.Process.Kill()
		alive.Wait()
		if len(w.status().Orphans) != 0 {
			t.Errorf("orphans %+v", w.status().Orphans)
		}
		w.Shutdown(t.Context())
		if _, err := os.Stat(w.places().File); !os.IsNotExist(err) {
			t.Errorf("the file: %v", err)
		}
	})
}

func TestGarbageStateIsNoObstacle(t *testing.T) {
	for _, text := range []string{"garbage", "[]", "{", `{"releases":7}`, strings.Repeat("[", 20000), "\x00\xff"} {
		mortals(t, text, func(t *testing.T, w *world) {
			if len(w.status().Orphans) != 0 {
				t.Errorf("orphans %+v", w.status().Orphans)
			}
			w.mustHaveNoted("state file broken")
			w.mustDeploy("v1")
		})
	}
}
