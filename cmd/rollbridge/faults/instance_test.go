package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long a check waits for something that has to happen. It is
// long, because only a failing check ever waits for its end.
const patience = 30 * time.Second

// instance is a daemon of its own, for an application of its own.
type instance struct {
	t    *testing.T
	name string // of the instance, its application and its configuration
	dir  string // what belongs to the application
	port int    // of the proxy; the next ones are the application's
}

// portsEach is how many ports an instance has.
const portsEach = 50

var nextPort atomic.Int32 // minus 20000

// web is the process that every application has.
const web = `
  - {id: web, policy: proxied, command: "exec $APP web", port: $PORTS, gracefulStopMs: 2000, restartDelayMs: 20}`

// newInstance writes a configuration; nothing runs yet. In processes $APP starts
// the test application, $PORTS is a range of ports, $DIR the instance's directory.
func newInstance(t *testing.T, name, processes string) *instance {
	t.Helper()
	in := &instance{t: t, name: name, dir: "/srv/" + name, port: 20000 + int(nextPort.Add(portsEach))}
	if err := os.MkdirAll(in.path("releases"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(in.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	in.write(in.path("diary"), "")
	if err := os.Chmod(in.path("diary"), 0o666); err != nil {
		t.Fatal(err)
	}
	in.runWith("systemd")
	in.configure(processes)
	t.Cleanup(in.cleanup)
	return in
}

// start is newInstance with a running daemon.
func start(t *testing.T, name, processes string) *instance {
	t.Helper()
	in := newInstance(t, name, processes)
	in.startDaemon()
	return in
}

// runWith chooses the runner of the next daemon.
func (in *instance) runWith(runner string) {
	in.t.Helper()
	in.write(filepath.Join(runtimeDir, in.name+".env"), "ROLLBRIDGE_RUNNER="+runner+"\n")
}

// configure writes the configuration anew.
func (in *instance) configure(processes string) {
	in.t.Helper()
	text := fmt.Sprintf("user: app\nproxy: {port: %d, healthTimeoutMs: 20000}\nprocesses:%s\n", in.port, processes)
	text = strings.NewReplacer("$APP", self+" app", "$DIR", in.dir,
		"$PORTS", fmt.Sprintf("{from: %d, to: %d}", in.port+1, in.port+portsEach-1)).Replace(text)
	in.write("/etc/rollbridge/"+in.name+".yaml", text)
}

func (in *instance) config() string { return "/etc/rollbridge/" + in.name + ".yaml" }

// daemon is the unit of the daemon, unit that of a process.
func (in *instance) daemon() string { return "rollbridge@" + in.name + ".service" }

func (in *instance) unit(process string) string {
	return "rollbridge-" + in.name + "." + process + ".service"
}

func (in *instance) path(name string) string { return filepath.Join(in.dir, name) }

func (in *instance) write(path, text string) {
	in.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) remove(path string) {
	in.t.Helper()
	if err := os.Remove(path); err != nil {
		in.t.Fatal(err)
	}
}

// startDaemon starts the daemon and waits until it takes commands.
func (in *instance) startDaemon() {
	in.t.Helper()
	systemctl(in.t, "start", in.daemon())
	in.eventually("the daemon takes commands", func() bool { _, ok := in.look(); return ok })
}

// killDaemon kills the daemon and returns when another one has taken its place.
func (in *instance) killDaemon() {
	in.t.Helper()
	old := in.status().PID
	in.shoot(old)
	in.awaitDaemon(old)
}

// awaitDaemon waits until a daemon other than the old one has taken its place.
func (in *instance) awaitDaemon(old int) {
	in.t.Helper()
	in.eventually("the next daemon has settled", func() bool { s, ok := in.look(); return ok && s.PID != old && s.settled() })
}

// absentDaemon kills the daemon and keeps the next one from starting until back
// is called, which waits for it.
func (in *instance) absentDaemon() (back func()) {
	in.t.Helper()
	hold, err := os.Create(filepath.Join(runtimeDir, in.name+".hold"))
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { hold.Close() })
	if err := syscall.Flock(int(hold.Fd()), syscall.LOCK_EX); err != nil {
		in.t.Fatal(err)
	}
	old := in.status().PID
	in.shoot(old)
	in.eventually("the daemon is gone", func() bool { return syscall.Kill(old, 0) == syscall.ESRCH })
	return func() {
		in.t.Helper()
		hold.Close()
		in.awaitDaemon(old)
	}
}

func (in *instance) shoot(pid int) {
	in.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		in.t.Fatalf("kill %d: %v", pid, err)
	}
}

// eventually waits until a condition holds.
func (in *instance) eventually(what string, holds func() bool) {
	in.t.Helper()
	in.within(patience, what, holds)
}

// within is eventually with another patience.
func (in *instance) within(patience time.Duration, what string, holds func() bool) {
	in.t.Helper()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	timeout := time.After(patience)
	for !holds() {
		select {
		case <-ticks.C:
		case <-timeout:
			in.t.Fatalf("not so: %s", what)
		}
	}
}

// result is what a run of the program left.
type result struct {
	stdout, stderr string
	code           int
}

// cli runs the program for this instance.
func (in *instance) cli(args ...string) result {
	in.t.Helper()
	r, err := in.run(args...)
	if err != nil {
		in.t.Fatal(err)
	}
	return r
}

func (in *instance) run(args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args[:1:1], append([]string{"--config", in.config()}, args[1:]...)...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return result{}, fmt.Errorf("rollbridge %v: %w", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}, nil
}

// must runs a command that has to succeed, and returns its output.
func (in *instance) must(args ...string) string {
	in.t.Helper()
	r := in.cli(args...)
	if r.code != 0 {
		in.t.Fatalf("%v: exit %d, %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// release makes a release directory, with files that say how it behaves.
func (in *instance) release(id string, files ...string) string {
	in.t.Helper()
	dir := in.path("releases/" + id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		in.t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		in.write(filepath.Join(dir, files[i]), files[i+1])
	}
	return dir
}

// deploy makes a release directory and deploys it; it must succeed.
func (in *instance) deploy(id string, files ...string) {
	in.t.Helper()
	if r := in.tryDeploy(id, files...); r.code != 0 {
		in.t.Fatalf("deploy %s: exit %d, %s", id, r.code, r.stderr)
	}
}

func (in *instance) tryDeploy(id string, files ...string) result {
	in.t.Helper()
	return in.cli(deploying(in.release(id, files...), id)...)
}

// deploying waits for an operation under way: a daemon that has just started may
// be taking up its predecessor's.
func deploying(dir, id string) []string {
	return []string{"deploy", "--wait", "--release-path", dir, "--release-id", id}
}

// beginDeploy deploys in the background.
func (in *instance) beginDeploy(id string, files ...string) <-chan result {
	in.t.Helper()
	dir := in.release(id, files...)
	done := make(chan result, 1)
	go func() {
		r, err := in.run(deploying(dir, id)...)
		if err != nil {
			r = result{stderr: err.Error(), code: -1}
		}
		done <- r
	}()
	return done
}

// get asks the proxy and returns status and body.
func (in *instance) get(path string) (int, string) {
	in.t.Helper()
	code, body, err := in.ask(path)
	if err != nil {
		in.t.Fatal(err)
	}
	return code, body
}

// ask is get for what may fail.
func (in *instance) ask(path string) (int, string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get(in.url(path))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func (in *instance) url(path string) string {
	return "http://127.0.0.1:" + strconv.Itoa(in.port) + path
}

// serves checks who answers.
func (in *instance) serves(release string) {
	in.t.Helper()
	if code, body := in.get("/release"); code != 200 || body != release {
		in.t.Errorf("the proxy answers %d %q; want release %s", code, body, release)
	}
}

// call sends a command to the control socket and returns the answer.
func (in *instance) call(line string) ([]byte, error) {
	conn, err := net.Dial("unix", "/run/rollbridge/"+in.name+"/control.sock")
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

// event is one that the daemon told.
type event struct {
	Message string
	Data    map[string]any
}

// events is those with a message, of one process or, with "", of any.
func (in *instance) events(message, process string) []event {
	in.t.Helper()
	var all, found []event
	if err := json.Unmarshal([]byte(in.must("events", "--json", "--limit", "5000")), &all); err != nil {
		in.t.Fatal(err)
	}
	for _, e := range all {
		if e.Message == message && (process == "" || e.Data["processId"] == process) {
			found = append(found, e)
		}
	}
	return found
}

// awaitEvents waits until there are n such events.
func (in *instance) awaitEvents(n int, message, process string) []event {
	in.t.Helper()
	in.eventually(fmt.Sprintf("%d events %q of %s", n, message, process), func() bool {
		return len(in.events(message, process)) >= n
	})
	return in.events(message, process)
}

// cleanup ends all of the instance. What the daemon leaves behind then is a
// failure of the test.
func (in *instance) cleanup() {
	if in.t.Failed() {
		in.t.Logf("status: %s", in.statusText())
		for _, unit := range []string{in.daemon(), "rollbridge-" + in.name + ".*"} {
			log, _ := exec.Command("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "40", "-u", unit).CombinedOutput()
			in.t.Logf("the journal of %s ends with\n%s", unit, log)
		}
	}
	if r, err := in.run("shutdown"); err != nil || r.code != 0 && r.code != 3 {
		in.t.Errorf("shutdown: %v, %+v", err, r)
	}
	exec.Command("systemctl", "stop", in.daemon()).Run()
	left := units(in.t, "rollbridge-"+in.name+".*")
	if len(left) > 0 {
		log, _ := exec.Command("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "40", "-u", in.daemon(), "-u", "rollbridge-"+in.name+".*").CombinedOutput()
		in.t.Errorf("left behind: %v; the journal ends with\n%s", left, log)
	}
	for _, unit := range left {
		shown, _ := exec.Command("systemctl", "status", "--no-pager", unit).CombinedOutput()
		in.t.Logf("%s", shown)
		exec.Command("systemctl", "kill", "--signal=KILL", unit).Run()
		exec.Command("systemctl", "stop", unit).Run()
		exec.Command("systemctl", "reset-failed", unit).Run()
	}
	exec.Command("systemctl", "reset-failed", in.daemon()).Run()
	os.RemoveAll(in.dir)
	os.Remove(in.config())
	os.RemoveAll("/var/lib/rollbridge/" + in.name)
}
