package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/supervisor/runner"
)

// keys are all keys of a JSON value, at any depth.
func keys(v any) (names []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			names = append(append(names, key), keys(value)...)
		}
	case []any:
		for _, value := range v {
			names = append(names, keys(value)...)
		}
	}
	return names
}

func TestStateHasTheKeysOfTheContractAndNoSecrets(t *testing.T) {
	source := strings.Replace(shop, "command: mailer}", "command: mailer --password hunter2, env: {KEY: hunter2}}", 1)
	survivors(t, source, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.host.find(t, "mailer@v1").lines = []runner.Line{{Text: "hunter2"}}
		w.observe(runner.Event{At: time.Now(), Message: "odd", Data: map[string]any{"command": "hunter2", "more": map[string]any{"env": "hunter2"}}})
		w.openRequest("v1")
		w.mustDeploy("v2")
		if err := w.state.save(); err != nil {
			t.Fatal(err)
		}
		state := w.stateObject()
		for _, key := range []string{"activeReleaseId", "application", "control", "daemonRuntime", "orphans", "proxy", "releases", "services", "singletons", "events", "persistedAt", "version", "bootId"} {
			if _, ok := state[key]; !ok {
				t.Errorf("no key %s", key)
			}
		}
		for _, key := range keys(state) {
			if slices.Contains(sensitive, key) {
				t.Errorf("key %s", key)
			}
		}
		text, _ := os.ReadFile(w.places().File)
		if bytes.Contains(text, []byte("hunter2")) || !bytes.HasSuffix(text, []byte("}\n")) {
			t.Errorf("state:\n%s", text)
		}
		releases := state["releases"].([]any)
		v1, v2 := releases[0].(map[string]any), releases[1].(map[string]any)
		if state["activeReleaseId"] != "v2" || v1["state"] != "draining" || v2["state"] != "active" || v1["drainStartedAt"] == nil {
			t.Errorf("state:\n%s", text)
		}
		if ref := v2["processes"].([]any)[0].(map[string]any)["ref"].(map[string]any); ref["id"] == "" {
			t.Errorf("state:\n%s", text)
		}
	})
}

func TestIntentIsOnDiskBeforeTheFirstProcess(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.runner.daemon.last = w.runner.daemon.steps + 2 // the configuration and the intent
		w.deploy("v1")
		equal(t, "diary", w.host.read(), nil)
		m := readState(w.places().File)
		if len(m.Releases) != 1 || m.Releases[0].State != "starting" || m.ActiveReleaseID != nil || m.Releases[0].Processes[0].Ref.ID == "" {
			t.Errorf("state %+v", m.record)
		}
	})
}

func TestDeployThatCannotBeRecordedFailsCleanly(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.settle()
		w.host.read()
		w.breakDisk(fmt.Errorf("write: %w", syscall.ENOSPC))
		_, err := w.deploy("v2")
		if err == nil {
			t.Fatal("the deploy succeeded")
		}
		contains(t, err.Error(), "start release v2: record it first: write: no space left on device")
		equal(t, "diary", w.host.read(), nil)
		equal(t, "states", w.states(), []string{"v1 active"})
		w.settle()
		contains(t, strings.Join(w.status().Problems, "\n"), "the state is not kept: write: no space left on device")
		w.mustHaveNoted("state persist failed")
		w.breakDisk(nil)
		time.Sleep(longestRetry)
		w.settle()
		w.mustHaveNoted("state persisted again")
		if len(w.status().Problems) > 0 {
			t.Errorf("problems %v", w.status().Problems)
		}
		w.mustDeploy("v2")
	})
}

func TestSwitchThatCannotBeRecordedIsToldAndRetried(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		done := make(chan DeployResult)
		w.setHealth("v2", errBadHealth)
		go func() {
			result, err := w.deploy("v2")
			if err != nil {
				t.Error(err)
			}
			done <- result
		}()
		w.settle()
		w.breakDisk(syscall.EROFS)
		w.setHealth("v2", nil)
		result := <-done
		w.settle()
		if len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0].Message, "the switch could not be recorded: read-only file system") {
			t.Errorf("warnings %+v", result.Warnings)
		}
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		w.breakDisk(nil)
		time.Sleep(longestRetry)
		w.settle()
		w.host.read()
		w.restart()
		equal(t, "states", w.states(), []string{"v1 stopped", "v2 active"})
		equal(t, "started", started(w.host.read()), nil)
	})
}

func TestTornStateLosesNoProcessThatServes(t *testing.T) {
	whole := 0
	torn := func(t *testing.T, length int) {
		survivors(t, shop, func(t *testing.T, w *world) {
			w.mustDeploy("v1")
			time.Sleep(time.Second)
			w.mustDeploy("v2")
			w.settle()
			w.crash()
			text, err := os.ReadFile(w.places().File)
			if err != nil {
				t.Fatal(err)
			}
			whole = len(text)
			if length < whole {
				if err := os.WriteFile(w.places().File, text[:length], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			w.host.read()
			w.resume()
			equal(t, "started", started(w.host.read()), nil)
			equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
			if states := w.states(); states[len(states)-1] != "v2 active" {
				t.Errorf("states %v", states)
			}
			if length >= whole {
				return
			}
			w.mustHaveNoted("state file broken")
			kept, _ := filepath.Glob(w.places().File + ".broken-*")
			if len(kept) != 1 {
				t.Errorf("kept aside: %v", kept)
			} else if aside, _ := os.ReadFile(kept[0]); !bytes.Equal(aside, text[:length]) {
				t.Errorf("kept %d bytes of %d", len(aside), length)
			}
			w.mustDeploy("v3")
		})
	}
	torn(t, 1<<30)
	for length := 0; length < whole-2; length += 151 {
		t.Run(fmt.Sprint(length), func(t *testing.T) { torn(t, length) })
	}
}

func TestMissingStateIsGuessedFromWhatRuns(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		before := w.host.running()
		w.slowDeploy("v2") // younger, and not proven
		w.crash()
		os.Remove(w.places().File)
		w.host.read()
		w.resume()
		w.settle()
		w.mustHaveNoted("state guessed from what runs")
		equal(t, "running", w.host.running(), before)
		equal(t, "started", started(w.host.read()), nil)
		if states := w.states(); !slices.Contains(states, "v1 active") {
			t.Errorf("states %v", states)
		}
		if w.release("v1").path != w.dir || w.proxy.Active() == nil {
			t.Errorf("release %+v", w.release("v1"))
		}
	})
}

func TestReleaseThatDrainsIsNotGuessedActive(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.openRequest("v1")
		w.mustDeploy("v2")
		w.settle()
		w.crash()
		os.Remove(w.places().File)
		w.resume()
		equal(t, "running", w.host.running(), []string{"broker@v2", "cable@v2", "clock@v2", "mailer@v2", "web@v2"})
		if active := w.status().ActiveReleaseID; active == nil || *active != "v2" {
			t.Errorf("states %v", w.states())
		}
	})
}

func TestStateOfTheNextVersionIsReadAndNotLost(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		time.Sleep(time.Second)
		w.mustDeploy("v2")
		w.settle()
		w.crash()
		state := w.stateObject()
		mark := func(object any, key string) { object.(map[string]any)[key] = map[string]any{"deep": []any{1.0, "x"}} }
		mark(state, "newTop")
		mark(state["releases"].([]any)[0], "newStopped")
		v2 := state["releases"].([]any)[1]
		mark(v2, "newActive")
		mark(v2.(map[string]any)["processes"].([]any)[0], "newProcess")
		mark(state["services"].([]any)[0].(map[string]any)["process"], "newService")
		b, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.places().File, b, 0o600); err != nil {
			t.Fatal(err)
		}
		w.resume()
		w.restart()
		if err := w.state.save(); err != nil {
			t.Fatal(err)
		}
		all := keys(w.stateObject())
		for _, key := range []string{"newTop", "newStopped", "newActive", "newProcess", "newService", "deep"} {
			if !slices.Contains(all, key) {
				t.Errorf("%s is lost", key)
			}
		}
		if slices.Contains(w.messages(), "state file broken") {
			t.Error("it was taken for broken")
		}
	})
}

func TestStateOfALaterFormIsKeptAside(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.crash()
		state := w.stateObject()
		state["version"] = recordVersion + 1
		state["services"] = "in another form"
		b, _ := json.Marshal(state)
		if err := os.WriteFile(w.places().File, b, 0o600); err != nil {
			t.Fatal(err)
		}
		w.host.read()
		w.resume()
		equal(t, "states", w.states(), []string{"v1 active"})
		equal(t, "started", started(w.host.read()), nil)
		w.mustHaveNoted("state file broken")
	})
}

func TestFilesAreReplacedWholeAndForTheirOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, text := range []string{"first", "second, longer", "3"} {
		if err := os.WriteFile(path+".tmp", []byte("of a daemon that was killed"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := replaceFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("it holds %q", b)
		}
	}
	if err := replaceFile(filepath.Join(path, "in-a-file"), nil); err == nil {
		t.Error("no error")
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestOneWriteServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish := make(chan struct{})
		var state, writes atomic.Int32
		var written string // by the writer alone, until it has ended
		d := disk{replace: func(_ string, content []byte) error {
			if writes.Add(1) == 1 {
				<-finish
			}
			written = string(content)
			return nil
		}}
		f := newStateFile("x", d, func() ([]byte, error) { return fmt.Append(nil, state.Load()), nil }, func(error) {})
		f.start()
		f.touch()
		synctest.Wait() // the first write has begun
		answers := make(chan error)
		for range 10 {
			go func() {
				state.Add(1)
				answers <- f.save()
			}()
		}
		synctest.Wait() // all of them wait
		close(finish)
		for range 10 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		f.stop()
		if written != "10" || writes.Load() != 2 {
			t.Errorf("%d writes, the last of %s", writes.Load(), written)
		}
		if err := f.save(); !errors.Is(err, errNotKept) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestSecondDaemonOfAnInstanceIsTurnedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if running := Running(path); running != "" {
		t.Errorf("before the first one %q runs", running)
	}
	first, err := TakeLock(path, "my shop")
	if err != nil {
		t.Fatal(err)
	}
	if running := Running(path); running != "my shop" {
		t.Errorf("%q runs", running)
	}
	_, err = TakeLock(path, "other")
	if err == nil {
		t.Fatal("there are two")
	}
	contains(t, err.Error(), fmt.Sprintf("the daemon with pid %d runs this instance already", os.Getpid()))
	first.Release()
	if running := Running(path); running != "" {
		t.Errorf("after the end of it %q runs", running)
	}
	again, err := TakeLock(path, "shop")
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
}
