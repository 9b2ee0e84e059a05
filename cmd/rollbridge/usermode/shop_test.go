package usermode

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shop is an application of the user.
type shop struct {
	t    *testing.T
	name string
	port int // of the proxy; the next ones are the web process's
}

const processes = `
  - {id: web, policy: proxied, command: "exec $APP web", port: $PORTS, restartDelayMs: 20, memory: {limitBytes: 1000000000, hardLimitBytes: 2000000000}}
  - {id: worker, command: "exec $APP worker", user: app, restartDelayMs: 20, memory: {limitBytes: 1000000000, hardLimitBytes: 2000000000, checkIntervalMs: 50}}
  - {id: queue, policy: service, command: "exec $APP queue", restartDelayMs: 20}
  - {id: sched, policy: singleton, command: "exec $APP sched", restartDelayMs: 20}`

// newShop writes a configuration where a user's are. $APP starts the test
// application, $PORTS is a range of ports.
func newShop(t *testing.T, name string, port int, processes string) *shop {
	t.Helper()
	s := &shop{t: t, name: name, port: port}
	write(t, home+"/"+name+".env", "FROM_FILE='the file'\n")
	s.configure(processes)
	return s
}

func (s *shop) configure(processes string) {
	s.t.Helper()
	text := fmt.Sprintf("envFile: %s/%s.env\nproxy: {port: %d, healthTimeoutMs: 20000}\nprocesses:%s\n", home, s.name, s.port, processes)
	write(s.t, s.config(), strings.NewReplacer("$APP", self+" app",
		"$PORTS", fmt.Sprintf("{from: %d, to: %d}", s.port+1, s.port+9)).Replace(text))
}

func (s *shop) config() string { return home + "/.config/rollbridge/" + s.name + ".yaml" }
func (s *shop) run() string    { return runtime + "/rollbridge/" + s.name }

// cli runs the program as the user.
func (s *shop) cli(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	return run(s.t, asUser(exec.CommandContext(ctx, program, slices.Concat([]string{args[0], "--config", s.config()}, args[1:])...)))
}

// must is cli for what has to succeed.
func (s *shop) must(args ...string) string {
	s.t.Helper()
	r := s.cli(args...)
	if r.code != 0 {
		s.t.Fatalf("%v: exit %d, %s", args, r.code, r.stderr)
	}
	return r.stdout
}

func (s *shop) deploy(id string) {
	s.t.Helper()
	if r := s.tryDeploy(id); r.code != 0 {
		s.t.Fatalf("deploy %s: exit %d, %s", id, r.code, r.stderr)
	}
}

func (s *shop) tryDeploy(id string) result {
	s.t.Helper()
	dir := home + "/" + s.name + "/" + id
	user(s.t, "mkdir", "-p", dir)
	return s.cli("deploy", "--release-path", dir, "--release-id", id)
}

// serves checks who answers, also after a restart that is under way.
func (s *shop) serves(release string) {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
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

// eventually waits until a condition holds.
func (s *shop) eventually(what string, holds func() bool) {
	s.t.Helper()
	ticks := time.NewTicker(20 * time.Millisecond)
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
	Runner   string
	Releases []struct {
		State     string
		Processes []process
	}
	Services, Singletons []struct{ Process process }
}

type process struct {
	ID, State       string
	PID, Restarts   int
	LastStartReason string
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

// pids is the running processes' pids by their ids.
func (st status) pids() map[string]int {
	pids := map[string]int{}
	for _, p := range st.running() {
		pids[p.ID] = p.PID
	}
	return pids
}

func (st status) running() []process {
	var all []process
	for _, r := range st.Releases {
		if r.State == "active" {
			all = append(all, r.Processes...)
		}
	}
	for _, owned := range slices.Concat(st.Services, st.Singletons) {
		all = append(all, owned.Process)
	}
	return slices.DeleteFunc(all, func(p process) bool { return p.State != "running" || p.PID == 0 })
}

// find finds a running process; its ID is "" when there is none.
func (st status) find(id string) process {
	for _, p := range st.running() {
		if p.ID == id {
			return p
		}
	}
	return process{}
}

// crash kills a running process and waits for its restart.
func (s *shop) crash(id string) process {
	s.t.Helper()
	old := s.status().find(id).PID
	s.shoot(old)
	return s.awaitNew(id, old)
}

// awaitNew waits until a process runs with another pid than the old one.
func (s *shop) awaitNew(id string, old int) (p process) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s runs, not as %d", id, old), func() bool {
		st, ok := s.look()
		p = st.find(id)
		return ok && p.PID != 0 && p.PID != old
	})
	return p
}

func (s *shop) shoot(pid int) {
	s.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatalf("kill %d: %v", pid, err)
	}
}

// awaitDaemon waits until a daemon other than the old one takes commands.
func (s *shop) awaitDaemon(old int) {
	s.t.Helper()
	s.eventually("a daemon takes commands", func() bool { st, ok := s.look(); return ok && st.PID != old })
}

// call sends a command to the control socket and returns the answer.
func (s *shop) call(line string) ([]byte, error) {
	conn, err := net.Dial("unix", s.run()+"/control.sock")
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

// isShutDown checks that nothing is left of the shop.
func (s *shop) isShutDown() {
	s.t.Helper()
	var left []string
	defer func() {
		if len(left) > 0 {
			s.t.Logf("left: %v", left)
		}
	}()
	s.eventually("nothing is left of its units", func() bool {
		left = units(s.t, "rollbridge-"+s.name+".*")
		return len(left) == 0
	})
	if left, err := os.ReadDir(s.run() + "/exec"); err != nil && !os.IsNotExist(err) || len(left) > 0 {
		s.t.Errorf("left of the definitions: %v, %v", left, err)
	}
}
