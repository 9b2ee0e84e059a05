package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// units are what a systemd says of some units; it has no others.
type units map[string]systemd.UnitState

func (u units) look(_ context.Context, name string) (systemd.UnitState, error) {
	state, ok := u[name]
	if !ok {
		return state, systemd.ErrNoUnit
	}
	return state, nil
}

// shopService is the service of an instance on a host with those units.
func shopService(u units) service {
	return service{DaemonUnits: unitgen.DaemonUnitsOf("shop"), look: u.look, load: u.look}
}

const (
	shopDaemon  = "rollbridge@shop.service"
	shopSocket  = "rollbridge@shop.socket"
	shopControl = "rollbridge-control@shop.socket"
)

func loaded(active string) systemd.UnitState {
	return systemd.UnitState{LoadState: "loaded", ActiveState: active}
}

func TestOnlyInstancesHaveUnits(t *testing.T) {
	for file, want := range map[string]string{
		"/etc/rollbridge/rollbridge.yaml":   "rollbridge.service",
		"/etc/rollbridge/shop.example.yaml": "rollbridge@shop.example.service",
		"/etc/rollbridge/two words.yaml":    "",
		"/srv/shop/rollbridge.yaml":         "",
	} {
		if s := serviceFor(file); s.Service != want || s.isInstance() != (want != "") {
			t.Errorf("%s: %+v", file, s.DaemonUnits)
		}
	}
}

func TestOnlySomeCommandsWakeAStoppedDaemon(t *testing.T) {
	for _, c := range []struct {
		name     string
		units    units
		command  string
		asleep   bool
		mentions string
	}{
		{"stopped", units{shopDaemon: loaded("inactive"), shopControl: loaded("active")}, "status", true, "`systemctl start rollbridge@shop.service`"},
		{"failed", units{shopDaemon: loaded("failed"), shopControl: loaded("active")}, "logs", true, "`systemctl status rollbridge@shop.service`"},
		{"stopped", units{shopDaemon: loaded("inactive"), shopControl: loaded("active")}, "cancel", true, "is inactive"},
		{"without an address", units{shopDaemon: loaded("inactive"), shopControl: loaded("active"), shopSocket: loaded("failed")}, "status", true, "`systemctl restart rollbridge@shop.socket`"},
		{"woken by a deploy", units{shopDaemon: loaded("inactive"), shopControl: loaded("active")}, "deploy", false, ""},
		{"running", units{shopDaemon: loaded("active"), shopControl: loaded("active")}, "status", false, ""},
		{"starting", units{shopDaemon: loaded("activating"), shopControl: loaded("active")}, "status", false, ""},
		{"reloading", units{shopDaemon: loaded("reloading"), shopControl: loaded("active")}, "status", false, ""},
		{"no unit, but a daemon", units{}, "status", false, ""},
		{"stopped with its sockets, but a daemon by hand", units{shopDaemon: loaded("inactive"), shopControl: loaded("inactive")}, "status", false, ""},
	} {
		asked := false
		r := fakeDaemon(t, func(string) string { asked = true; return statusAnswer + "\n" })
		r.service = shopService(c.units)
		_, _, err := call[supervisor.StatusResult](t.Context(), r, c.command, struct{}{}, nil)
		if asked == c.asleep || absent(err) != c.asleep || err != nil && !c.asleep {
			t.Errorf("%s, %s: asked %v, %v", c.name, c.command, asked, err)
		}
		var f *fault
		if c.asleep && (!errors.As(err, &f) || !strings.Contains(f.Error()+f.hint, c.mentions)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestWhereNobodyListensTheHintIsTheSocket(t *testing.T) {
	for _, c := range []struct {
		units    units
		mentions string
	}{
		{units{}, "rollbridge ensure-daemon --config /etc/rollbridge/shop.yaml"},
		{units{shopDaemon: loaded("inactive"), shopSocket: loaded("inactive")}, "`systemctl start rollbridge@shop.socket`"},
		{units{shopDaemon: loaded("inactive")}, "`systemctl start rollbridge@shop.service`"},
		{units{shopDaemon: loaded("inactive"), shopSocket: {LoadState: "bad-setting"}}, "`systemctl daemon-reload`"},
		{units{shopDaemon: {LoadState: "masked"}, shopSocket: loaded("inactive")}, "`systemctl unmask rollbridge@shop.service`"},
	} {
		r := &remote{config: &config.Config{File: "/etc/rollbridge/shop.yaml"}, socket: t.TempDir() + "/none.sock", service: shopService(c.units), timeout: time.Second}
		_, _, err := call[supervisor.StatusResult](t.Context(), r, "status", struct{}{}, nil)
		var f *fault
		if !errors.As(err, &f) || f.code != exitNoDaemon || !strings.Contains(f.hint, c.mentions) {
			t.Errorf("%v: %v", c.units, err)
		}
	}
}

// systemd lets go of whoever waits when it cannot start the daemon for want of its
// socket.
func TestADeployThatCannotWakeTheDaemonNamesTheFailedSocket(t *testing.T) {
	for socket, want := range map[string]fault{
		"failed": {code: exitNoDaemon, hint: "`systemctl status rollbridge@shop.socket`"},
		"active": {code: exitFailed, hint: "its log says why"},
	} {
		r := &remote{service: shopService(units{shopDaemon: loaded("inactive"), shopControl: loaded("active"), shopSocket: loaded(socket)})}
		var f *fault
		if err := r.explain(t.Context(), "deploy", control.ErrClosed); !errors.As(err, &f) || f.code != want.code || !strings.Contains(f.hint, want.hint) {
			t.Errorf("%s: %v", socket, err)
		}
	}
}

func TestAnUnreadFileIsToldWhenNobodyListens(t *testing.T) {
	r := &remote{config: &config.Config{}, socket: t.TempDir() + "/none.sock", unread: errors.New("the file\nis broken"), timeout: time.Second}
	_, _, err := call[supervisor.StatusResult](t.Context(), r, "status", struct{}{}, nil)
	var f *fault
	if !errors.As(err, &f) || f.code != exitNoDaemon || strings.Join(f.details, "|") != "the file|is broken" {
		t.Errorf("%+v", f)
	}
}

func TestADaemonThatIsBeingStoppedNeedNotAnswer(t *testing.T) {
	r := fakeDaemon(t, func(line string) string {
		if strings.Contains(line, `"status"`) {
			t.Error("it was asked for a sign of life")
		}
		time.Sleep(700 * time.Millisecond) // three pulses
		return answers["shutdown"] + "\n"
	})
	r.service = shopService(units{shopDaemon: loaded("deactivating"), shopControl: loaded("active")})
	if _, _, err := call[supervisor.Message](t.Context(), r, "shutdown", struct{}{}, nil); err != nil {
		t.Error(err)
	}
}

func TestTheNextDaemonIsAskedWhenOneIsRestarting(t *testing.T) {
	const refusal = `{"status":"error","error":"Rollbridge is restarting","code":"restarting","hint":"try again in a moment"}` + "\n"
	e := newTestEnv(t)
	asked := 0
	r := fakeDaemon(t, func(string) string {
		if asked++; asked < 3 {
			return refusal
		}
		return answers["rollback"] + "\n"
	})
	result, _, err := insist[supervisor.DeployResult](t.Context(), e.env, r, nil, "rollback", struct{}{})
	if err != nil || result.ActiveReleaseID != "41" || asked != 3 || !strings.Contains(e.err.String(), "waiting for the next one") {
		t.Errorf("asked %d times: %+v, %v, %s", asked, result, err, &e.err)
	}

	r = fakeDaemon(t, func(string) string { return refusal })
	r.timeout = time.Second
	if _, _, err := insist[supervisor.DeployResult](t.Context(), e.env, r, nil, "rollback", struct{}{}); !restarting(err) {
		t.Errorf("it never comes back: %v", err)
	}

	asked = 0
	r = fakeDaemon(t, func(string) string {
		asked++
		return `{"status":"error","error":"cancelled by the restart of the daemon","code":"failed"}` + "\n"
	})
	if _, _, err := insist[supervisor.DeployResult](t.Context(), e.env, r, nil, "deploy", struct{}{}); err == nil || asked != 1 {
		t.Errorf("asked %d times after it had begun: %v", asked, err)
	}
}

func TestAReplacedDaemonOfThePackageIsNoMismatch(t *testing.T) {
	own := supervisor.DaemonRuntime{Digest: "sha256:1", Path: "/usr/bin/rollbridge", Version: "2"}
	for _, c := range []struct {
		service service
		daemon  supervisor.DaemonRuntime
		fails   bool
		says    string
	}{
		{shopService(nil), own, false, ""},
		{shopService(nil), supervisor.DaemonRuntime{Digest: "sha256:0", Path: own.Path, Version: "1"}, false, "`systemctl restart rollbridge@shop.service`"},
		{shopService(nil), supervisor.DaemonRuntime{Digest: "sha256:0", Path: "/opt/rollbridge"}, true, "the daemon is /opt/rollbridge"},
		{service{}, supervisor.DaemonRuntime{Digest: "sha256:0", Path: own.Path}, true, "rollbridge shutdown"},
	} {
		e := newTestEnv(t)
		err := (&remote{service: c.service}).compare(e.env, own, c.daemon)
		text := e.err.String()
		var f *fault
		if errors.As(err, &f) {
			text += f.hint
		}
		if (err != nil) != c.fails || !strings.Contains(text, c.says) || c.says == "" && text != "" {
			t.Errorf("%+v: %v, %s", c.daemon, err, text)
		}
	}
}
