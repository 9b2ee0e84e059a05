package faults

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// status is what the tests read of `status`.
type status struct {
	ActiveReleaseID      string
	PID                  int
	Runner               string
	Releases             []releaseStatus
	Services, Singletons []struct{ Process process }
	Operation            *struct{ Command string }
}

type releaseStatus struct {
	ReleaseID, State string
	Generation       int
	Processes        []process
}

type process struct {
	ID, State       string
	PID             int
	Restarts        int
	GaveUp          bool
	ExitCode        *int
	ExitSignal      *string
	LastError       string
	LastStartReason string
	RetryAt         string
	StartedAt       string
}

// look asks for the status; false when no daemon answers.
func (in *instance) look() (s status, ok bool) {
	answer, err := in.call(`{"command":"status"}`)
	return s, err == nil && json.Unmarshal(answer, &s) == nil && s.PID != 0
}

// settled reports whether the daemon has taken up what its predecessor left.
func (s status) settled() bool { return s.Operation == nil || s.Operation.Command != "resume" }

func (in *instance) status() status {
	in.t.Helper()
	s, ok := in.look()
	if !ok {
		in.t.Fatalf("no status: %s", in.statusText())
	}
	return s
}

func (in *instance) statusText() string {
	answer, err := in.call(`{"command":"status"}`)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

// running is the processes that ought to run: of the active release, services and
// singletons.
func (s status) running() []process {
	var all []process
	for _, r := range s.Releases {
		if r.State == "active" {
			all = append(all, r.Processes...)
		}
	}
	for _, owned := range slices.Concat(s.Services, s.Singletons) {
		all = append(all, owned.Process)
	}
	return all
}

// pids is the running processes' pids by their ids.
func (s status) pids() map[string]int {
	pids := map[string]int{}
	for _, p := range s.running() {
		pids[p.ID] = p.PID
	}
	return pids
}

// find finds a running process; its ID is "" when there is none.
func (s status) find(id string) process {
	for _, p := range s.running() {
		if p.ID == id {
			return p
		}
	}
	return process{}
}

// state is the state of a release, of its newest generation.
func (s status) state(release string) string {
	state := "unlisted"
	for _, r := range s.Releases {
		if r.ReleaseID == release {
			state = r.State
		}
	}
	return state
}

// process finds a process; a daemon that has just started may still look for it.
func (in *instance) process(id string) process {
	in.t.Helper()
	return in.awaitProcess(id, "is there", func(process) bool { return true })
}

// awaitProcess waits until a process is as it should be.
func (in *instance) awaitProcess(id, what string, right func(process) bool) process {
	in.t.Helper()
	var p process
	in.eventually(id+" "+what, func() bool {
		s, ok := in.look()
		p = s.find(id)
		return ok && p.ID == id && right(p)
	})
	return p
}

// awaitNew waits until a process runs with another pid than the old one.
func (in *instance) awaitNew(id string, old int) process {
	in.t.Helper()
	return in.awaitProcess(id, fmt.Sprintf("runs, not as %d", old), func(p process) bool {
		return p.State == "running" && p.PID != 0 && p.PID != old
	})
}

// crash kills a running process and waits for its restart.
func (in *instance) crash(id string) process {
	in.t.Helper()
	old := in.awaitNew(id, 0).PID
	in.shoot(old)
	return in.awaitNew(id, old)
}

// awaitReleaseState waits until a release is in a state.
func (in *instance) awaitReleaseState(release, state string) {
	in.t.Helper()
	in.eventually("release "+release+" is "+state, func() bool { s, ok := in.look(); return ok && s.state(release) == state })
}

// lasting is what the status says and a change of daemons must not change: all
// but the clock, and the processes of releases that are stopped.
func (in *instance) lasting() map[string]any {
	in.t.Helper()
	answer, err := in.call(`{"command":"status"}`)
	if err != nil {
		return nil // not there yet
	}
	var s map[string]any
	if err := json.Unmarshal(answer, &s); err != nil {
		in.t.Fatalf("status %q: %v", answer, err)
	}
	for _, volatile := range []string{"pid", "startedAt", "daemon"} {
		delete(s, volatile)
	}
	for _, r := range s["releases"].([]any) {
		if r := r.(map[string]any); r["state"] == "stopped" {
			delete(r, "processes")
		}
	}
	withoutClock(s)
	return s
}

// withoutClock removes what passes by itself.
func withoutClock(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "uptimeMs")
		for _, inner := range v {
			withoutClock(inner)
		}
	case []any:
		for _, inner := range v {
			withoutClock(inner)
		}
	}
}

// awaitLasting waits until the status says the same as before.
func (in *instance) awaitLasting(before map[string]any) {
	in.t.Helper()
	var now map[string]any
	defer func() {
		if !reflect.DeepEqual(before, now) {
			in.t.Logf("the status differs:\n%s", differences("status", before, now))
		}
	}()
	in.eventually("the status says what it said before", func() bool {
		now = in.lasting()
		return reflect.DeepEqual(before, now)
	})
}

// differences lists where two decoded JSON values differ.
func differences(where string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			break
		}
		text := ""
		for key := range a {
			text += differences(where+"."+key, a[key], b[key])
		}
		for key := range b {
			if _, ok := a[key]; !ok {
				text += differences(where+"."+key, nil, b[key])
			}
		}
		return text
	case []any:
		b, ok := b.([]any)
		if !ok {
			break
		}
		text := ""
		for i := range max(len(a), len(b)) {
			text += differences(fmt.Sprintf("%s[%d]", where, i), at(a, i), at(b, i))
		}
		return text
	}
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return fmt.Sprintf("%s: %v, now %v\n", where, a, b)
}

// at is an element of a list, nil behind its end.
func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}
