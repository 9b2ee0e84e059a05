package instances

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestEnsureDaemonStartsTheUnit(t *testing.T) {
	in := newInstance(t, "ensured")
	in.run(member(), "ensure-daemon").says(t, 1, "uid 1000 (app) may not start rollbridge@ensured.service", "`sudo systemctl start rollbridge@ensured.socket`")
	log := filepath.Join(t.TempDir(), "daemon.log")
	in.run(root(), "ensure-daemon", "--daemon-log-path", log).says(t, 0, `"application": "ensured"`, "have no effect")
	if pid := systemctl(t, "show", "--value", "--property=MainPID", in.daemon()); pid != strconv.Itoa(in.status().PID) {
		t.Errorf("the daemon is not the unit's process %s", pid)
	}
	for _, path := range []string{log, strings.TrimSuffix(in.control(), ".sock") + ".pid"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("there is %s", path)
		}
	}
	in.run(root(), "ensure-daemon").says(t, 0)

	in.stop().open()
	in.run(member(), "ensure-daemon").says(t, 0)
	in.stop()
	in.run(root(), "deploy", "--ensure-daemon", "--release-path", "/tmp", "--release-id", "v1").says(t, 0, `"v1"`)

	in.stop()
	systemctl(t, "mask", in.daemon())
	in.run(root(), "ensure-daemon").says(t, 1, "rollbridge@ensured.service is masked")
	systemctl(t, "unmask", in.daemon())
}

func TestAnUpgradeIsNoMismatch(t *testing.T) {
	in := newInstance(t, "upgraded").open()
	in.deploy(root(), "v1").says(t, 0)
	older, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(program+".new", text, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	replace(append(older[:len(older):len(older)], "newer"...))
	defer replace(older)
	in.run(root(), "deploy", "--ensure-daemon", "--release-path", "/tmp", "--release-id", "v2").
		says(t, 0, `"v2"`, "note: the daemon still is rollbridge", "`systemctl restart rollbridge@upgraded.service`")
	systemctl(t, "restart", in.daemon())
	if r := in.run(root(), "ensure-daemon"); r.code != 0 || strings.Contains(r.stderr, "note") {
		t.Errorf("%+v", r)
	}
	root().types(t, built, "ensure-daemon", "-c", in.name).says(t, 1, "mismatched runtime", "the daemon is "+program)
}
