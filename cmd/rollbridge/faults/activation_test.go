package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The daemon with the units of the package: systemd has the sockets.

const unitsDir = "/run/systemd/system/"

// socketUnit and controlUnit are the units that have the sockets of an instance.
func (in *instance) socketUnit() string  { return "rollbridge@" + in.name + ".socket" }
func (in *instance) controlUnit() string { return "rollbridge-control@" + in.name + ".socket" }

func (in *instance) proxySocket() string { return "/run/rollbridge/" + in.name + "/proxy.sock" }

// activated is newInstance with the units of the package, of which the sockets
// are started. Texts of the units can be replaced.
func activated(t *testing.T, name, processes string, replace ...string) *instance {
	t.Helper()
	in := newInstance(t, name, processes)
	in.reconfigure("proxy: {", `proxy: {listen: ["127.0.0.1:`+fmt.Sprint(in.port)+`", "unix:`+in.proxySocket()+`"], `)
	in.reconfigure(fmt.Sprintf("port: %d, ", in.port), "")
	units := []string{in.socketUnit(), in.controlUnit(), in.daemon()}
	for _, unit := range units {
		template := strings.Replace(unit, "@"+in.name, "@", 1)
		text, err := os.ReadFile("/src/packaging/systemd/" + template)
		if err != nil {
			t.Fatal(err)
		}
		in.write(unitsDir+unit, strings.NewReplacer(replace...).Replace(string(text)))
	}
	in.listenAt(in.port)
	t.Cleanup(func() {
		for _, unit := range units {
			exec.Command("systemctl", "stop", unit).Run()
			os.Remove(unitsDir + unit)
		}
		os.RemoveAll(unitsDir + in.socketUnit() + ".d")
		exec.Command("systemctl", "daemon-reload").Run()
	})
	systemctl(t, "daemon-reload")
	systemctl(t, "start", in.socketUnit())
	return in
}

// listenAt writes the drop-in that the generator would make.
func (in *instance) listenAt(port int) {
	in.t.Helper()
	dir := unitsDir + in.socketUnit() + ".d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		in.t.Fatal(err)
	}
	in.write(dir+"/50-rollbridge.conf", fmt.Sprintf("[Socket]\nListenStream=127.0.0.1:%d\nListenStream=%s\n", port, in.proxySocket()))
}

// reconfigure replaces text in the configuration.
func (in *instance) reconfigure(from, to string) {
	in.t.Helper()
	text, err := os.ReadFile(in.config())
	if err != nil {
		in.t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		in.t.Fatalf("%q is not in the configuration:\n%s", from, text)
	}
	in.write(in.config(), strings.Replace(string(text), from, to, 1))
}

func (in *instance) awaitActive(unit, state string) {
	in.t.Helper()
	in.eventually(unit+" is "+state, func() bool { return property(in.t, unit, "ActiveState") == state })
}

func TestFirstConnectionStartsTheDaemon(t *testing.T) {
	t.Parallel()
	in := activated(t, "first", web)
	if state := property(t, in.daemon(), "ActiveState"); state != "inactive" {
		t.Fatalf("before the first connection the daemon is %s", state)
	}
	if code, _ := in.get("/"); code != http.StatusServiceUnavailable {
		t.Errorf("without a release: %d", code)
	}
	in.deploy("v1")
	in.serves("v1")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", in.proxySocket())
	}}, Timeout: patience}
	res, err := client.Get("http://localhost/release")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(body) != "v1" {
		t.Errorf("the Unix socket answers %s %q", res.Status, body)
	}
	listening := in.awaitEvents(2, "proxy listening", "")
	for _, e := range append(listening, in.awaitEvents(1, "control socket listening", "")...) {
		if e.Data["activated"] != true {
			t.Errorf("event %+v", e)
		}
	}
	if differ := in.events("sockets differ from the configuration", ""); len(differ) > 0 {
		t.Errorf("events: %+v", differ)
	}
	in.hasRights(in.proxySocket(), "666 root:root")
	in.hasRights(in.controlSocket(), "660 root:rollbridge")
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", in.process("web").PID))
	if err != nil || strings.Contains(string(environment), "LISTEN_") {
		t.Errorf("the web process has the environment %q, %v", environment, err)
	}
	ours := socketsOf(t, in.status().PID)
	for socket := range socketsOf(t, in.process("web").PID) {
		if ours[socket] {
			t.Errorf("the web process has inherited %s", socket)
		}
	}
	if len(ours) < 3 {
		t.Errorf("the daemon has the sockets %v", ours)
	}
}

// socketsOf is the sockets among the descriptors of a process.
func socketsOf(t *testing.T, pid int) map[string]bool {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sockets := map[string]bool{}
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, "socket:") {
			sockets[to] = true
		}
	}
	return sockets
}

func TestCommandStartsTheDaemon(t *testing.T) {
	t.Parallel()
	in := activated(t, "wake", web)
	if _, err := in.call(`{"command":"status"}`); err != nil {
		t.Fatal(err)
	}
	in.awaitActive(in.daemon(), "active")
	in.deploy("v1")
}

// connections are requests on a connection each.
type connections struct {
	in   *instance
	stop chan struct{}
	done sync.WaitGroup

	served atomic.Int64
	mu     sync.Mutex
	failed []error
}

// connecting begins to connect, over and over, to the port and to both Unix
// sockets.
func (in *instance) connecting() *connections {
	c := &connections{in: in, stop: make(chan struct{})}
	ask := func(network, addr string) func() error {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}, Timeout: patience}
		return func() error {
			res, err := client.Get("http://localhost/release")
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if _, err := io.ReadAll(res.Body); err != nil {
				return err
			}
			if res.StatusCode != http.StatusOK {
				return errors.New(res.Status)
			}
			return nil
		}
	}
	for range 2 {
		c.done.Go(func() { c.again(ask("tcp", fmt.Sprintf("127.0.0.1:%d", in.port))) })
		c.done.Go(func() { c.again(ask("unix", in.proxySocket())) })
	}
	c.done.Go(func() {
		c.again(func() error {
			conn, err := net.Dial("unix", in.controlSocket())
			if err == nil {
				conn.Close()
			}
			return err
		})
	})
	return c
}

func (c *connections) again(do func() error) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		if err := do(); err != nil {
			c.mu.Lock()
			c.failed = append(c.failed, err)
			c.mu.Unlock()
		} else {
			c.served.Add(1)
		}
		select {
		case <-c.stop:
			return
		case <-pause.C:
		}
	}
}

// some waits until some more have been served.
func (c *connections) some() {
	c.in.t.Helper()
	until := c.served.Load() + 50
	c.in.eventually("more connections are served", func() bool { return c.served.Load() >= until })
}

// end ends it and returns what has failed.
func (c *connections) end() []error {
	close(c.stop)
	c.done.Wait()
	return c.failed
}

func TestNoConnectionIsRefusedWhileTheDaemonRestarts(t *testing.T) {
	t.Parallel()
	in := activated(t, "restarts", web)
	in.deploy("v1")
	pids := in.status().pids()

	load := in.connecting()
	load.some()
	for range 3 {
		old := in.status().PID
		systemctl(t, "restart", in.daemon())
		in.awaitDaemon(old)
		load.some()
	}
	if failed := load.end(); len(failed) > 0 {
		t.Errorf("%d failed at restarts, the first: %v", len(failed), failed[0])
	}

	load = in.connecting()
	for range 3 {
		load.some()
		in.killDaemon()
	}
	load.some()
	for _, err := range load.end() { // those that were accepted die with it
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
			t.Errorf("refused when the daemon was killed: %v", err)
		}
	}
	in.serves("v1")
	if now := in.status().pids(); fmt.Sprint(now) != fmt.Sprint(pids) {
		t.Errorf("pids were %v, are %v", pids, now)
	}
}

func TestMissingControlSocketIsExplained(t *testing.T) {
	t.Parallel()
	in := activated(t, "alone", web, "Wants=rollbridge-control@%i.socket\n", "", " rollbridge-control@%i.socket", "")
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", in.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hint := fmt.Sprintf("systemctl stop %s %s && systemctl start %[2]s %[1]s", in.socketUnit(), in.controlUnit())
	in.eventually("the journal tells it", func() bool {
		said := command(t, "journalctl", "--no-pager", "-o", "cat", "-u", in.daemon())
		return strings.Contains(said, "error: socket activation: "+in.controlUnit()+" has passed no socket\nhint: "+hint+"\n")
	})
	if out, err := exec.Command("sh", "-c", hint).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", hint, err, out)
	}
	in.deploy("v1")
	in.serves("v1")
}

func TestSocketsThatDifferFromTheConfiguration(t *testing.T) {
	t.Parallel()
	in := activated(t, "differ", web)
	in.deploy("v1")
	web := in.process("web").PID
	old, next := in.port, 20000+int(nextPort.Add(portsEach))
	in.reconfigure(fmt.Sprintf("127.0.0.1:%d", old), fmt.Sprintf("127.0.0.1:%d", next))
	differs := fmt.Sprintf("systemd listens on 127.0.0.1:%d, not on 127.0.0.1:%d as proxy.listen says", old, next)
	renew := "systemctl daemon-reload && systemctl restart " + in.socketUnit()
	refused := func() {
		t.Helper()
		r := in.tryDeploy("v2")
		if r.code != 1 || !strings.Contains(r.stderr, "error: "+differs+"\nhint: "+renew+"\n") {
			t.Errorf("deploy: exit %d, %s", r.code, r.stderr)
		}
		in.serves("v1")
	}
	refused()

	before := len(in.events("sockets differ from the configuration", ""))
	systemctl(t, "restart", in.daemon())
	events := in.awaitEvents(before+1, "sockets differ from the configuration", "")
	if e := events[before]; e.Data["error"] != differs || e.Data["hint"] != renew {
		t.Errorf("event %+v", e)
	}
	if text := in.must("status", "--text"); !strings.Contains(text, differs+"; run: "+renew) {
		t.Errorf("status:\n%s", text)
	}
	refused()

	in.listenAt(next)
	if out, err := exec.Command("sh", "-c", renew).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", renew, err, out)
	}
	if _, _, err := in.ask("/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the old port: %v", err)
	}
	in.port = next
	in.serves("v1")
	if text := in.must("status", "--text"); strings.Contains(text, "problem") {
		t.Errorf("status:\n%s", text)
	}
	if pid := in.process("web").PID; pid != web {
		t.Errorf("the web process was %d, is %d", web, pid)
	}
	in.deploy("v2")
	in.serves("v2")
}

func TestBoundControlSocketHasTheRightsOfTheUnits(t *testing.T) {
	t.Parallel()
	in := start(t, "rights", web)
	in.hasRights(in.controlSocket(), "660 root:rollbridge")
	in.hasRights(filepath.Dir(in.controlSocket()), "755 root:root")
}

func (in *instance) controlSocket() string { return "/run/rollbridge/" + in.name + "/control.sock" }

func (in *instance) hasRights(path, want string) {
	in.t.Helper()
	if got := strings.TrimSpace(command(in.t, "stat", "-c", "%a %U:%G", path)); got != want {
		in.t.Errorf("%s is %s, want %s", path, got, want)
	}
}
