package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rollbridge/supervisor"
	"rollbridge/supervisor/runner"
)

func ptr[T any](v T) *T { return &v }

func up(d time.Duration) *int64 { return ptr(d.Milliseconds()) }

// busyStatus is a daemon in the middle of things.
func busyStatus() supervisor.StatusResult {
	return supervisor.StatusResult{
		ActiveReleaseID: ptr("42"),
		Application:     "shop",
		Config:          "/etc/rollbridge/shop.yaml",
		Control:         supervisor.ControlStatus{Path: "/run/rollbridge/shop/control.sock"},
		DaemonRuntime:   supervisor.DaemonRuntime{Version: "1.2.3"},
		Operation:       &supervisor.Operation{Command: "deploy", Release: "43", Phase: "health", Since: ago(4 * time.Second), PeerPID: 977, PeerUID: 1000},
		Orphans:         []supervisor.Orphan{{ID: "worker#0", PID: 31, ReleaseID: ptr("39")}},
		PID:             4000,
		Proxy:           supervisor.ProxyStatus{Host: "127.0.0.1", Port: 8182, Held: 2},
		Releases: []supervisor.ReleaseStatus{
			{ReleaseID: "40", Revision: "40", State: "stopped", StoppedAt: ago(49 * time.Hour), ReleasePath: "/srv/shop/releases/40",
				Processes: []supervisor.ProcessStatus{{ID: "web", State: runner.Stopped}}},
			{ReleaseID: "41", Revision: "1f3a9c2", State: "draining", DrainStartedAt: ago(4 * time.Second), ReleasePath: "/srv/shop/releases/41",
				Connections: supervisor.Connections{WebSocket: 2},
				Processes:   []supervisor.ProcessStatus{{ID: "web", State: runner.Running, PID: 4100, Port: 18000, UptimeMs: up(26 * time.Hour)}}},
			{ReleaseID: "42", Revision: "42", Generation: 2, State: "active", ActivatedAt: ago(3*time.Hour + 12*time.Minute), ReleasePath: "/srv/shop/releases/42",
				Connections: supervisor.Connections{HTTP: 13, WebSocket: 1},
				Processes: []supervisor.ProcessStatus{
					{ID: "worker#0", State: runner.Running, PID: 4201, UptimeMs: up(90 * time.Second), Restarts: 1, RSSBytes: 120 << 20},
					{ID: "worker#1", State: runner.Failed, ExitCode: &supervisor.NullInt{Value: ptr(3)}, ExitSignal: &supervisor.NullString{}, RetryAt: ago(-5 * time.Second), Restarts: 12},
					{ID: "web", State: runner.Running, PID: 4203, Port: 18001, UptimeMs: up(3*time.Hour + 12*time.Minute)},
				}},
		},
		Runner: "direct",
		Services: []supervisor.OwnedProcess{{ID: "broker", Process: supervisor.ProcessStatus{ID: "broker", State: runner.Failed, GaveUp: true, ExitSignal: &supervisor.NullString{Value: ptr("SIGKILL")}, Restarts: 5}},
			{ID: "cache", Process: supervisor.ProcessStatus{ID: "cache", State: runner.Failed, GaveUp: true, ExitSignal: &supervisor.NullString{Value: ptr("SIGKILL")}, OOMKilled: true, Restarts: 5}}},
		Singletons: []supervisor.OwnedProcess{{ID: "scheduler", Process: supervisor.ProcessStatus{ID: "scheduler", State: runner.Failed, LastError: "exec /nowhere: no such file or directory"}}},
		StartedAt:  ago(100 * 24 * time.Hour),
	}
}

func TestStatusTree(t *testing.T) {
	te := newTestEnv(t)
	te.onTerminal(100, false)
	if err := te.writeStatus(busyStatus()); err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/status.golden", te.out.String())
}

func TestStatusTreeInColours(t *testing.T) {
	te := newTestEnv(t)
	te.onTerminal(100, true)
	if err := te.writeStatus(busyStatus()); err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/status-colours.golden", te.out.String())
}

func TestStatusOfAnIdleDaemon(t *testing.T) {
	te := newTestEnv(t)
	te.onTerminal(100, false)
	st := supervisor.StatusResult{Application: "shop", Runner: "direct", PID: 7, StartedAt: ago(0), DaemonRuntime: supervisor.DaemonRuntime{Version: "1.2.3"},
		Proxy: supervisor.ProxyStatus{Host: "::1", Port: 8182}, Config: "/srv/rollbridge.yaml", Control: supervisor.ControlStatus{Path: "/srv/control.sock"}}
	if err := te.writeStatus(st); err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/status-idle.golden", te.out.String())
}

func TestStatusIsNeverWiderThanTheTerminal(t *testing.T) {
	for width := 1; width <= 120; width++ {
		te := newTestEnv(t)
		te.onTerminal(width, false)
		if err := te.writeStatus(busyStatus()); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(te.out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("width %d: %d columns: %q", width, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Fatalf("width %d: spaces at the end: %q", width, line)
			}
		}
	}
}

func TestStatusCannotCommandTheTerminal(t *testing.T) {
	te := newTestEnv(t)
	st := busyStatus()
	st.Application = "\x1b[2J"
	st.Releases[0].ReleasePath = "/a\r\nb"
	st.Services[0].Process.LastError = "\x07\x1b]0;owned\x07"
	if err := te.writeStatus(st); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(te.out.String(), "\x1b\x07\r") {
		t.Errorf("%q", te.out.String())
	}
}

func TestAgesAreReadable(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                 "0 s",
		999 * time.Millisecond:       "0 s",
		59 * time.Second:             "59 s",
		time.Minute:                  "1 min",
		59 * time.Minute:             "59 min",
		time.Hour:                    "1 h",
		3*time.Hour + 12*time.Minute: "3 h 12 min",
		49 * time.Hour:               "2 d 1 h",
		48 * time.Hour:               "2 d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
