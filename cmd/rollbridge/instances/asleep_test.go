package instances

import (
	"strings"
	"testing"
)

func TestQuestionsWakeNobody(t *testing.T) {
	in := newInstance(t, "asleep").open()
	for _, p := range []person{root(), member()} {
		for _, args := range [][]string{{"status"}, {"stop"}, {"cancel"}, {"logs"}, {"events"}, {"logs", "-f"}} {
			in.run(p, args...).says(t, 3, "no daemon is running: rollbridge@asleep.service is inactive", "`systemctl start rollbridge@asleep.service` starts it")
			in.sleeps(args[0])
		}
		p.types(t, program, "list").says(t, 0, "asleep", "stopped")
		p.types(t, program, "status", "--all", "--json").says(t, 0, `"state": "stopped"`)
		in.sleeps("list")
	}

	in.deploy(member(), "v1").says(t, 0) // does
	in.run(member(), "status").says(t, 0, `"v1"`)
	in.stop().open()
	in.run(root(), "events").says(t, 0, "traffic switched", "this is what the journal has")
	in.run(root(), "logs").says(t, 0, "web begins")
	in.run(root(), "status").says(t, 3)
	in.sleeps("reading the journal")
	in.run(member(), "restart").says(t, 0, `"worker"`)
}

func TestWhereNobodyListensTheUnitIsNamed(t *testing.T) {
	in := newInstance(t, "shut")
	in.run(other(), "status").says(t, 3, "`systemctl start rollbridge@shut.socket` starts it")
	in.deploy(root(), "v1").says(t, 3, "`systemctl start rollbridge@shut.socket` starts it")
	systemctl(t, "mask", in.socket())
	in.run(root(), "status").says(t, 3, "rollbridge@shut.socket is masked", "`systemctl unmask rollbridge@shut.socket`")
	systemctl(t, "unmask", in.socket())

	unknown := &instance{t: t, name: "unread", port: in.port}
	unknown.configure("") // and no address, without a reload
	t.Cleanup(unknown.cleanup)
	unknown.run(root(), "status").says(t, 3, "`systemctl daemon-reload`")
}

func TestShutdownOfAStoppedDaemonClosesItsSockets(t *testing.T) {
	in := newInstance(t, "down").open()
	in.run(member(), "shutdown").says(t, 1, "uid 1000 (app) may not close them", "`sudo systemctl stop rollbridge@down.socket`")
	in.sleeps("a shutdown that was refused")
	in.run(root(), "shutdown").says(t, 0, `"message": "shutdown"`)
	for _, unit := range []string{in.daemon(), in.socket(), in.controlSocket()} {
		if state := in.state(unit); state != "inactive" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	in.run(root(), "shutdown").says(t, 3)
}

func TestADeployWaitsForTheDaemonThatIsRestarting(t *testing.T) {
	in := newInstance(t, "restarts").open()
	in.deploy(root(), "v1").says(t, 0)
	old := in.status().PID
	held := make(chan string)
	go func() { held <- in.get("/?for=3s") }() // the daemon ends after this request
	in.eventually("the request is open", func() bool { return strings.Contains(in.run(root(), "status").stdout, `"connectionCount": 1`) })
	systemctl(t, "--no-block", "restart", in.daemon())
	in.eventually("the daemon takes no commands", func() bool {
		return strings.Contains(root().types(t, "journalctl", "--output=cat", "-u", in.daemon()).stdout, "restart starting")
	})
	in.deploy(member(), "v2").says(t, 0, `"activeReleaseId": "v2"`, "The daemon is being restarted; waiting for the next one.")
	if got := <-held; got != "v1" {
		t.Errorf("the open request got %q", got)
	}
	if s := in.status(); s.PID == old || s.active() != "v2" {
		t.Errorf("%+v", s)
	}
}
