package instances

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestListShowsAllInstances(t *testing.T) {
	running, stopped, hanging, broken, gone := newInstance(t, "l-running").open(), newInstance(t, "l-stopped").open(),
		newInstance(t, "l-hanging").open(), newInstance(t, "l-broken").open(), newInstance(t, "l-gone").open()
	for _, in := range []*instance{running, hanging, gone} {
		in.deploy(root(), "v1").says(t, 0)
	}
	broken.write(broken.config(), "application: x\nproxi: {}\n", 0o640)
	if err := os.Remove(gone.config()); err != nil {
		t.Fatal(err)
	}
	r := root().types(t, program, "list", "--json")
	r.says(t, 0)
	var list struct {
		Instances []struct {
			Instance, Config, Application, State, Proxy, ActivatedAt string
			ActiveReleaseID                                          *string
			Processes                                                struct{ Running, Total int }
			Problems                                                 []string
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, i := range list.Instances {
		states[i.Instance] = i.State
		switch i.Instance {
		case "l-running":
			if *i.ActiveReleaseID != "v1" || i.ActivatedAt == "" || i.Processes.Running != 2 || i.Processes.Total != 2 || i.Proxy != "127.0.0.1:"+strconv.Itoa(running.port) || i.Config != running.config() || len(i.Problems) > 0 {
				t.Errorf("%+v", i)
			}
		case "l-broken":
			if len(i.Problems) != 1 || !strings.HasPrefix(i.Problems[0], "line 1: ") {
				t.Errorf("%+v", i)
			}
		}
	}
	for name, want := range map[string]string{"l-running": "running", "l-gone": "running", "l-hanging": "running", "l-stopped": "stopped", "l-broken": "broken"} {
		if states[name] != want {
			t.Errorf("%s is %q, not %s", name, states[name], want)
		}
	}
	stopped.sleeps("the list")
	broken.sleeps("the list")

	pid := hanging.status().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r = root().types(t, program, "list", "--timeout", "500ms") // before the watchdog does something
	syscall.Kill(pid, syscall.SIGCONT)
	r.says(t, 1, "no answer", "l-running")

	r = other().types(t, program, "list")
	r.says(t, 1, "denied", "may not use "+running.control())
	if !strings.Contains(r.stdout, "l-stopped") {
		t.Errorf("%s", r.stdout)
	}
}

func TestAnApplicationBelongsToOneInstance(t *testing.T) {
	first, second := newInstance(t, "one").open(), newInstance(t, "two")
	first.configure("application: shared")
	first.deploy(root(), "v1").says(t, 0)
	second.configure("application: shared")
	for _, in := range []*instance{first, second} {
		in.run(root(), "validate").says(t, 1, `application "shared" is also that of /etc/rollbridge/`)
	}
	if out := root().types(t, program, "daemon", "--runner", "systemd", "-c", "two"); out.code != 1 || !strings.Contains(out.stderr, `application "shared" is that of `+first.config()) {
		t.Errorf("%+v", out)
	}
	second.open().deploy(root(), "v1").says(t, 1, `application "shared" is that of `+first.config())
	root().types(t, program, "list").says(t, 0, "two", "broken")

	before := first.status().PID
	systemctl(t, "restart", first.daemon()) // is not kept from coming back
	if s := first.status(); s.PID == before || s.active() != "v1" {
		t.Errorf("%+v", s)
	}
	away := first.config() + ".away" // renamed, while its daemon goes on
	if err := os.Rename(first.config(), away); err != nil {
		t.Fatal(err)
	}
	second.deploy(root(), "v1").says(t, 1, `application "shared" is that of `+first.config())
	if err := os.Rename(away, first.config()); err != nil {
		t.Fatal(err)
	}
	second.configure("") // its own, again
	second.deploy(root(), "v1").says(t, 0, "The daemon is being restarted; waiting for the next one.")
}
