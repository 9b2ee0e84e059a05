package usermode

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// daemonUnit is the daemon as a unit of the user's.
const daemonUnit = `[Unit]
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=` + program + ` daemon --user --config %h/.config/rollbridge/shop.yaml
Restart=always
RestartSec=100ms
KillMode=mixed
TimeoutStopSec=100

[Install]
WantedBy=default.target
`

func TestDaemonAsAUnitOfTheUser(t *testing.T) {
	t.Parallel()
	s := newShop(t, "shop", 21000, processes)
	write(t, home+"/.config/systemd/user/rollbridge.service", daemonUnit)
	user(t, "systemctl", "--user", "daemon-reload")
	user(t, "systemctl", "--user", "start", "rollbridge.service")
	t.Cleanup(func() { exec.Command("systemctl", "--user", "--machine=app@", "stop", "rollbridge.service").Run() })
	s.awaitDaemon(0)
	s.deploy("v1")
	s.runsAsUser()
	s.writesLogs("v1")
	s.isSupervised()

	t.Run("killed daemon", func(t *testing.T) {
		s := s.in(t)
		before := s.status()
		s.shoot(before.PID)
		s.awaitDaemon(before.PID)
		s.awaitPIDs(before.pids())
		s.serves("v1")
		s.isSupervised()
		s.writesLogs("v1")
	})
	t.Run("systemctl restart", func(t *testing.T) {
		s := s.in(t)
		before := s.status()
		user(t, "systemctl", "--user", "restart", "rollbridge.service")
		s.awaitDaemon(before.PID)
		s.awaitPIDs(before.pids())
	})
	t.Run("another user", func(t *testing.T) {
		s := s.in(t)
		s.configure(strings.Replace(processes, "user: app", "user: daemon", 1))
		r := s.tryDeploy("v2")
		if r.code != 1 || !strings.Contains(r.stderr, "user must be the daemon's own user, since the daemon is not root") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		s.serves("v1")
		s.configure(processes)
	})
	s.deploy("v3")
	s.serves("v3")
	events := s.must("events", "--limit", "1000")
	for _, message := range []string{"daemon started", "traffic switched", "process exited"} {
		if !strings.Contains(events, message) {
			t.Errorf("no event %q in %s", message, events)
		}
	}
	user(t, "systemctl", "--user", "stop", "rollbridge.service")
	s.isShutDown()
	user(t, "systemctl", "--user", "start", "rollbridge.service")
	s.awaitDaemon(0)
	s.eventually("the release comes back", func() bool { st, _ := s.look(); return len(st.running()) == 4 })
	s.serves("v3")
	s.must("shutdown")
	s.isShutDown()
	if state := strings.TrimSpace(user(t, "systemctl", "--user", "show", "--value", "--property=ActiveState", "rollbridge.service")); state != "inactive" && state != "deactivating" {
		t.Errorf("the daemon's unit is %s after shutdown", state)
	}
}

func TestDaemonFromAShell(t *testing.T) {
	t.Parallel()
	s := newShop(t, "plain", 21100, processes)
	end := s.daemon()
	s.deploy("v1")
	s.runsAsUser()
	s.writesLogs("v1")
	s.isSupervised()
	before := s.status()
	s.shoot(before.PID)
	end()
	s.shoot(before.find("worker").PID) // its systemd starts it again without a daemon
	end = s.daemon()
	after := s.awaitNew("worker", before.find("worker").PID)
	if after.LastStartReason != "crash" {
		t.Errorf("%+v", after)
	}
	want := before.pids()
	want["worker"] = after.PID
	s.awaitPIDs(want)
	s.deploy("v2")
	s.serves("v2")
	s.must("shutdown")
	end()
	s.isShutDown()
	if text := run(t, asUser(exec.Command(program, "logs", "--config", s.config(), "--process", "worker"))); text.code != 0 || !strings.Contains(text.stdout, "worker says out") {
		t.Errorf("without a daemon: %+v", text)
	}
}

// daemon starts a daemon from a shell; end waits for its end.
func (s *shop) daemon() (end func()) {
	s.t.Helper()
	cmd := asUser(exec.Command(program, "daemon", "--user", "--config", s.config()))
	var says strings.Builder
	cmd.Stdout, cmd.Stderr = &says, &says
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if s.t.Failed() {
			s.t.Logf("the daemon said %s", &says)
		}
	})
	s.eventually("the daemon takes commands", func() bool {
		select {
		case <-ended:
			s.t.Fatalf("the daemon has ended: %s", &says)
		default:
		}
		st, ok := s.look()
		return ok && st.PID == cmd.Process.Pid
	})
	return func() { <-ended }
}

// awaitPIDs waits until the daemon has taken these processes back.
func (s *shop) awaitPIDs(want map[string]int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the processes are %v", want), func() bool {
		st, ok := s.look()
		return ok && maps.Equal(st.pids(), want)
	})
}

// in is the same shop for a part of a test.
func (s *shop) in(t *testing.T) *shop { return &shop{t: t, name: s.name, port: s.port} }

// runsAsUser checks whose the processes are, and that systemd has them.
func (s *shop) runsAsUser() {
	s.t.Helper()
	st := s.status()
	if st.Runner != "systemd" || len(st.running()) != 4 {
		s.t.Fatalf("%+v", st)
	}
	s.serves("v1")
	for _, p := range st.running() {
		info, err := os.Stat(fmt.Sprintf("/proc/%d", p.PID))
		if err != nil {
			s.t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uid {
			s.t.Errorf("%s belongs to uid %d", p.ID, owner)
		}
		group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID))
		if want := "/user.slice/user-1000.slice/user@1000.service/rollbridge.slice/rollbridge-" + s.name + ".slice/rollbridge-" + s.name + "." + p.ID; err != nil || !strings.Contains(string(group), want) {
			s.t.Errorf("%s is in %s, %v", p.ID, group, err)
		}
	}
	s.eventually("memory is measured", func() bool { return s.status().find("worker").RSSBytes > 1<<20 })
}

// writesLogs checks what the processes have written. The journal does not know
// the unit of a child that is gone at once; its line is there all the same.
func (s *shop) writesLogs(release string) {
	s.t.Helper()
	for _, id := range []string{"web", "worker", "queue", "sched"} {
		var text string
		wants := []string{id + " says out, with the file as 1000", id + " says err", id + " has a child that says this"}
		s.eventually("the lines of "+id+" are there", func() bool {
			text = s.must("logs", "--process", id)
			return !slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(text, want) })
		})
		if id == "web" || id == "worker" {
			ofUnit := user(s.t, "journalctl", "--user", "--quiet", "--output=cat", "--user-unit=rollbridge-"+s.name+"."+id+"."+release+"*")
			if !strings.Contains(ofUnit, id+" says out") {
				s.t.Errorf("journalctl of the unit of %s: %s", id, ofUnit)
			}
		}
	}
}

// isSupervised checks crashes and a restart by command.
func (s *shop) isSupervised() {
	s.t.Helper()
	for _, id := range []string{"web", "worker", "queue", "sched"} {
		before := s.status().find(id).Restarts
		if p := s.crash(id); p.Restarts != before+1 || p.LastStartReason != "crash" {
			s.t.Errorf("%s: %+v, %d restarts before", id, p, before)
		}
	}
	s.serves("v1")
	old := s.status().find("worker").PID
	s.must("restart", "--process", "worker")
	if p := s.awaitNew("worker", old); p.LastStartReason != "manual" {
		s.t.Errorf("%+v", p)
	}
}
