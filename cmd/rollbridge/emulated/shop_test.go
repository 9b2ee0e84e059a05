package emulated

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a check waits for something that has to happen. It is
// long, since a machine that is emulated on a busy one may be slow.
const patience = 3 * time.Minute

// shop is an application with a daemon that is a unit.
type shop struct {
	t    *testing.T
	name string
	port int // of the proxy; the next ones are those of the web process
}

// daemonUnit is the daemon of each application.
const daemonUnit = `[Unit]
After=dbus.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=` + program + ` daemon --config /etc/rollbridge/%i.yaml --runner systemd
Restart=always
RestartSec=100ms
KillMode=mixed
TimeoutStopSec=100
`

// start writes a configuration and starts the daemon. In processes $APP starts
// the test application, $PORTS is a range of ports.
func start(t *testing.T, name string, port int, processes string) *shop {
	t.Helper()
	s := &shop{t: t, name: name, port: port}
	for _, dir := range []string{"/etc/rollbridge", s.dir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.dir(), 0o777); err != nil {
		t.Fatal(err)
	}
	s.configure(processes)
	s.write("/run/systemd/system/rollbridge@.service", daemonUnit)
	s.command("systemctl", "daemon-reload")
	s.command("systemctl", "start", s.daemon())
	t.Cleanup(s.end)
	s.eventually("the daemon takes commands", func() bool { _, ok := s.look(); return ok })
	return s
}

// configure writes the configuration anew.
func (s *shop) configure(processes string) {
	s.t.Helper()
	text := fmt.Sprintf("user: app\nproxy: {port: %d, healthTimeoutMs: %d}\nprocesses:%s\n", s.port, patience.Milliseconds(), processes)
	s.write("/etc/rollbridge/"+s.name+".yaml", strings.NewReplacer("$APP", self+" app",
		"$PORTS", fmt.Sprintf("{from: %d, to: %d}", s.port+1, s.port+9)).Replace(text))
}

func (s *shop) dir() string    { return "/srv/" + s.name }
func (s *shop) daemon() string { return "rollbridge@" + s.name + ".service" }

// unit is that of a process which is no web process.
func (s *shop) unit(process string) string {
	return "rollbridge-" + s.name + "." + process + ".v1.service"
}

// scope is that of the web process.
func (s *shop) scope() string {
	s.t.Helper()
	scopes := strings.Fields(s.command("systemctl", "list-units", "--plain", "--no-legend", "--type=scope", "--state=active", "rollbridge-"+s.name+".web.*"))
	if len(scopes) == 0 {
		s.t.Fatal("the web process has no scope")
	}
	return scopes[0]
}

func (s *shop) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// command runs a command that has to succeed, and returns what it wrote.
func (s *shop) command(argv ...string) string {
	s.t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%v: %v: %s%s", argv, err, out, &stderr)
	}
	return string(out)
}

// rollbridge runs a command of the program that has to succeed.
func (s *shop) rollbridge(args ...string) string {
	s.t.Helper()
	return s.command(slices.Concat([]string{program, args[0], "--config", "/etc/rollbridge/" + s.name + ".yaml"}, args[1:])...)
}

func (s *shop) deploy(id string) {
	s.t.Helper()
	dir := filepath.Join(s.dir(), id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.rollbridge("deploy", "--release-path", dir, "--release-id", id)
}

// property is a property of a unit as `systemctl show` writes it.
func (s *shop) property(unit, name string) string {
	s.t.Helper()
	return strings.TrimSpace(s.command("systemctl", "show", "--value", "--property", name, unit))
}

// killDaemon kills the daemon and returns when the next one takes commands.
func (s *shop) killDaemon() {
	s.t.Helper()
	old := s.status().PID
	s.signal(old, syscall.SIGKILL)
	s.eventually("the next daemon takes commands", func() bool { st, ok := s.look(); return ok && st.PID != old })
}

func (s *shop) signal(pid int, sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatalf("signal %d: %v", pid, err)
	}
}

// serves checks who answers, also after a restart that is under way.
func (s *shop) serves(release string) {
	s.t.Helper()
	client := http.Client{Timeout: patience}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", s.port))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(body) != release {
		s.t.Errorf("the proxy answers %d %q; want release %s", res.StatusCode, body, release)
	}
}

// eventually waits until a condition holds. To ask costs much in an emulated
// machine, so it is not asked often.
func (s *shop) eventually(what string, holds func() bool) {
	s.t.Helper()
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	timeout := time.After(patience)
	for !holds() {
		select {
		case <-ticks.C:
		case <-timeout:
			answer, err := s.call(`{"command":"status"}`)
			s.t.Fatalf("not so: %s; status %s, %v", what, answer, err)
		}
	}
}

// status is what the checks read of `status`.
type status struct {
	PID      int
	Releases []struct {
		State     string
		Processes []process
	}
}

type process struct {
	ID, State       string
	PID             int
	Restarts        int
	MemoryRestarts  int
	GaveUp          bool
	OOMKilled       bool
	ExitCode        *int
	ExitSignal      *string
	LastStartReason string
	RetryAt         time.Time
	UptimeMs        int64
	RSSBytes        int64
}

// look asks for the status; false when no daemon answers.
func (s *shop) look() (st status, ok bool) {
	answer, err := s.call(`{"command":"status"}`)
	return st, err == nil && json.Unmarshal(answer, &st) == nil && st.PID != 0
}

func (s *shop) status() status {
	s.t.Helper()
	st, ok := s.look()
	if !ok {
		s.t.Fatal("no daemon answers")
	}
	return st
}

// find finds a process of the active release; its ID is "" when there is none.
func (st status) find(id string) process {
	for _, r := range st.Releases {
		for _, p := range r.Processes {
			if r.State == "active" && p.ID == id {
				return p
			}
		}
	}
	return process{}
}

// await waits until a process is as it should be.
func (s *shop) await(id, what string, right func(process) bool) process {
	s.t.Helper()
	var p process
	s.eventually(id+" "+what, func() bool {
		st, ok := s.look()
		p = st.find(id)
		return ok && p.ID == id && right(p)
	})
	return p
}

func (s *shop) awaitRunning(id string) process {
	s.t.Helper()
	return s.await(id, "runs", func(p process) bool { return p.State == "running" && p.PID != 0 })
}

// awaitNew waits until a process runs with another pid than the old one.
func (s *shop) awaitNew(id string, old int) process {
	s.t.Helper()
	return s.await(id, fmt.Sprintf("runs, not as %d", old), func(p process) bool {
		return p.State == "running" && p.PID != 0 && p.PID != old
	})
}

// call sends a command to the control socket and returns the answer.
func (s *shop) call(line string) ([]byte, error) {
	conn, err := net.Dial("unix", "/run/rollbridge/"+s.name+"/control.sock")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return nil, err
	}
	return bufio.NewReader(conn).ReadBytes('\n')
}

// events is the data of those with a message, about one process.
func (s *shop) events(message, process string) []map[string]any {
	s.t.Helper()
	answer, err := s.call(`{"command":"events","limit":1000}`)
	if err != nil {
		s.t.Fatal(err)
	}
	var all struct {
		Events []struct {
			Message string
			Data    map[string]any
		}
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		s.t.Fatalf("events %s: %v", answer, err)
	}
	var found []map[string]any
	for _, e := range all.Events {
		if e.Message == message && e.Data["processId"] == process {
			found = append(found, e.Data)
		}
	}
	return found
}

// awaitEvent waits for the n-th such event.
func (s *shop) awaitEvent(n int, message, process string) map[string]any {
	s.t.Helper()
	var found []map[string]any
	s.eventually(fmt.Sprintf("%d events %q of %s", n, message, process), func() bool {
		found = s.events(message, process)
		return len(found) >= n
	})
	return found[n-1]
}

// end shuts everything down; nothing may be left.
func (s *shop) end() {
	if s.t.Failed() {
		log, _ := exec.Command("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "80", "-u", s.daemon(), "-u", "rollbridge-"+s.name+".*").CombinedOutput()
		s.t.Logf("the journal ends with\n%s", log)
	}
	s.rollbridge("shutdown")
	if left := s.command("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=service,scope", "rollbridge-"+s.name+".*"); left != "" {
		s.t.Errorf("left behind: %s", left)
	}
}
