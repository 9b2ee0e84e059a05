package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

// anInstance writes a configuration whose daemon is at a socket.
func anInstance(t *testing.T, name, socket string) config.Instance {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".yaml")
	text := strings.Replace(plainConfig(name), "path: control.sock", "path: "+socket, 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return config.Instance{Name: name, File: file}
}

const problemAnswer = `{"status":"success","activeReleaseId":"42","application":"shop","config":"/etc/rollbridge/shop.yaml","problems":["the disk is full"],` +
	`"runner":"systemd","proxy":{"listen":["127.0.0.1:8182"]},"operation":{"command":"deploy"},` +
	`"releases":[{"state":"draining","activatedAt":"2026-01-01T00:00:00.000Z","processes":[{"id":"web","state":"stopped"}]},` +
	`{"state":"active","activatedAt":"2026-05-04T11:00:00.000Z","processes":[{"id":"web","state":"running"},{"id":"worker#0","state":"failed","gaveUp":true}]}],` +
	`"services":[{"id":"broker","process":{"id":"broker","state":"running"}}],"singletons":[{"id":"cron","process":{"id":"cron","state":"backoff"}}]}`

func TestListAsksAllAtOnce(t *testing.T) {
	running := fakeDaemon(t, func(string) string { return problemAnswer + "\n" })
	hanging := fakeDaemon(t, func(string) string { time.Sleep(time.Minute); return "" })
	instances := []config.Instance{anInstance(t, "shop", running.socket)}
	for range 20 { // more than are asked at once
		instances = append(instances, anInstance(t, "hung", hanging.socket))
	}
	broken := anInstance(t, "bad", filepath.Join(t.TempDir(), "none.sock"))
	if err := os.WriteFile(broken.File, []byte("application: bad\nproxi: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	gone := config.Instance{Name: "gone", File: filepath.Join(t.TempDir(), "gone.yaml"), Gone: true}
	instances = append(instances, broken, anInstance(t, "down", filepath.Join(t.TempDir(), "none.sock")), gone)

	begun := time.Now()
	rows := askAll(t.Context(), instances, time.Second)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(rows) != 23 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	shop := rows[0]
	if shop.State != "running" || shop.Config != "/etc/rollbridge/shop.yaml" || *shop.ActiveReleaseID != "42" || *shop.Processes != (processFigures{2, 4}) || shop.Operation != "deploy" ||
		strings.Join(shop.Problems, "; ") != "the disk is full; worker#0 gave up; cron is backoff" {
		t.Errorf("%+v, %+v", shop, shop.Processes)
	}
	for i, want := range map[int]string{1: "no answer", 20: "no answer", 21: "broken", 22: "stopped"} {
		if rows[i].State != want {
			t.Errorf("row %d: %+v", i, rows[i])
		}
	}
	if text := strings.Join(rows[21].Problems, ""); !strings.Contains(text, "line ") {
		t.Errorf("the broken one: %q", text)
	}
	if rows[22].Application != "down" {
		t.Errorf("%+v", rows[22])
	}
}

func TestListKnowsWhatSystemdDoesNotRun(t *testing.T) {
	r := &remote{config: &config.Config{}, service: shopService(units{shopDaemon: loaded("failed"), shopControl: loaded("active")}), socket: "/none", timeout: time.Second}
	for command, want := range map[string]string{"failed": stateFailed, "inactive": stateStopped} {
		r.service = shopService(units{shopDaemon: loaded(command), shopControl: loaded("active")})
		_, _, err := call[supervisor.StatusResult](t.Context(), r, "status", struct{}{}, nil)
		var row instanceStatus
		if row.notRunning(t.Context(), r, err); row.State != want {
			t.Errorf("%s: %+v", command, row)
		}
	}
	r.service = shopService(units{shopDaemon: loaded("inactive"), shopControl: loaded("active"), shopSocket: loaded("failed")})
	_, _, err := call[supervisor.StatusResult](t.Context(), r, "status", struct{}{}, nil)
	var deaf instanceStatus
	if deaf.notRunning(t.Context(), r, err); deaf.State != stateFailed || len(deaf.Problems) != 1 {
		t.Errorf("its socket failed: %+v", deaf)
	}
	var row instanceStatus
	if row.notRunning(t.Context(), r, barred("/none", toWrite)); row.State != stateDenied || len(row.Problems) != 1 {
		t.Errorf("%+v", row)
	}

	nobody := &fault{err: control.ErrNoDaemon, code: exitNoDaemon}
	for active, want := range map[string]string{"active": stateSilent, "inactive": stateStopped, "failed": stateFailed} {
		r := &remote{service: shopService(units{shopDaemon: loaded(active)}), socket: "/run/rollbridge/shop/control.sock"}
		var row instanceStatus
		if row.notRunning(t.Context(), r, nobody); row.State != want {
			t.Errorf("nobody listens, and the unit is %s: %+v", active, row)
		}
	}
}

func TestListIsATable(t *testing.T) {
	e := newTestEnv(t)
	id := "42"
	rows := []instanceStatus{
		{Instance: "rollbridge", Application: "shop", State: stateRunning, ActiveReleaseID: &id, ActivatedAt: ago(90 * time.Minute), Proxy: "127.0.0.1:8182", Processes: &processFigures{3, 4}, Problems: []string{"worker gave up", "the disk is full"}},
		{Instance: "blog", Application: "blog", State: stateRunning, Proxy: "127.0.0.1:8183", Processes: &processFigures{0, 0}, Operation: "deploy"},
		{Instance: "test", Own: true, State: stateBroken, Problems: []string{"line 3: unknown key proxi"}},
		{Instance: "wiki", Application: "wiki", State: stateStopped, Proxy: "127.0.0.1:8184"},
	}
	if err := e.printList(rows, false); err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/list.golden", e.out.String())

	e = newTestEnv(t)
	if err := e.printList([]instanceStatus{}, true); err != nil || strings.TrimSpace(e.out.String()) != "{\n  \"instances\": []\n}" {
		t.Errorf("none: %v, %q", err, &e.out)
	}
}

func TestListHasAStableShape(t *testing.T) {
	row := instanceStatus{Instance: "shop", Config: "/etc/rollbridge/shop.yaml", State: stateStopped, Problems: []string{}}
	text, err := json.Marshal(row)
	const want = `{"instance":"shop","own":false,"config":"/etc/rollbridge/shop.yaml","state":"stopped","activeReleaseId":null,"problems":[]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}
