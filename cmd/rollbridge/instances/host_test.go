package instances

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollbridge/unitgen"
)

// patience is how long a check waits for something that has to happen. It is
// long, because only a failing check ever waits for its end.
const patience = 30 * time.Second

// The group of the control socket.
const groupName = "rollbridge"

var groupID uint32

// install makes of the host one on which the package is installed.
func install() error {
	units, err := filepath.Glob("/src/packaging/systemd/rollbridge*")
	if err != nil || len(units) != 6 {
		return fmt.Errorf("unit files: %v, %v", units, err)
	}
	for _, argv := range [][]string{
		{"groupadd", "--system", groupName},
		{"install", "-m", "755", built, program},
		{"mkdir", "-p", "/etc/rollbridge", "/usr/lib/systemd/system-generators"},
		{"ln", "-s", generator, "/usr/lib/systemd/system-generators/rollbridge-generator"},
		append(append([]string{"cp"}, units...), "/usr/lib/systemd/system"),
		{"systemctl", "daemon-reload"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", argv, err, out)
		}
	}
	g, err := user.LookupGroup(groupName)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	groupID = uint32(gid)
	return err
}

// A person gives commands.
type person struct {
	uid    uint32
	groups []uint32 // of the session, beside the user's own
}

func root() person   { return person{} }
func other() person  { return person{uid: 1000} }
func member() person { return person{uid: 1000, groups: []uint32{groupID}} }

// result is what a run of a program left.
type result struct {
	stdout, stderr string
	code           int
}

// says fails the test unless the program ended with that code and wrote all of
// the texts.
func (r result) says(t *testing.T, code int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("it does not say %q", text)
			code = -1
		}
	}
	if r.code != code {
		t.Errorf("exit %d, stdout %s, stderr %s", r.code, r.stdout, r.stderr)
	}
}

// types has a person run a command, which takes no longer than a test waits.
func (p person) types(t *testing.T, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // also in cleanups
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if p.uid != 0 {
		cmd.Dir, cmd.Env = "/home/app", []string{"HOME=/home/app", "USER=app", "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.uid, Groups: p.groups}}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%v: %v", argv, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// systemctl has to succeed.
func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	r := root().types(t, append([]string{"systemctl"}, args...)...)
	if r.code != 0 {
		t.Fatalf("systemctl %v: exit %d, %s", args, r.code, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// instance is one of the host's.
type instance struct {
	t    *testing.T
	name string
	port int // of the proxy; the next ones are the application's
}

var ports = 20000

// newInstance writes a configuration, which only its group may read, and has
// systemd read the address; no socket is open yet.
func newInstance(t *testing.T, name string) *instance {
	t.Helper()
	ports += 20
	in := &instance{t, name, ports}
	in.configure("")
	systemctl(t, "daemon-reload")
	t.Cleanup(in.cleanup)
	return in
}

// configure writes the configuration, with more at its top.
func (in *instance) configure(more string) {
	in.t.Helper()
	in.write(in.config(), fmt.Sprintf("user: app\n%s\nproxy: {port: %d, healthPath: /, healthTimeoutMs: 20000}\nrestartGraceMs: 4000\n"+
		"processes:\n  - {id: web, policy: proxied, command: 'exec %s app', port: {from: %d, to: %d}, gracefulStopMs: 2000}\n"+
		"  - {id: worker, command: 'exec sleep infinity', gracefulStopMs: 2000}\n",
		more, in.port, self, in.port+2, in.port+18), 0o640)
}

// write writes a file of root and the group.
func (in *instance) write(path, text string, mode os.FileMode) {
	in.t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chown(path, 0, int(groupID)))
	if err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) config() string  { return "/etc/rollbridge/" + in.name + ".yaml" }
func (in *instance) control() string { return "/run/rollbridge/" + in.name + "/control.sock" }
func (in *instance) daemon() string  { return unitgen.DaemonUnitsOf(in.name).Service }
func (in *instance) socket() string  { return unitgen.DaemonUnitsOf(in.name).Proxy }

func (in *instance) controlSocket() string { return unitgen.DaemonUnitsOf(in.name).Control }

// open opens the sockets.
func (in *instance) open() *instance {
	in.t.Helper()
	systemctl(in.t, "start", in.socket(), in.controlSocket()) // the one does not wait for the other
	return in
}

// stop stops the daemon and closes the sockets.
func (in *instance) stop() *instance {
	in.t.Helper()
	systemctl(in.t, "stop", in.socket(), in.controlSocket(), in.daemon())
	return in
}

// state is that of a unit.
func (in *instance) state(unit string) string {
	in.t.Helper()
	return systemctl(in.t, "show", "--value", "--property=ActiveState", unit)
}

// sleeps checks that nothing has started the daemon.
func (in *instance) sleeps(after string) {
	in.t.Helper()
	if state := in.state(in.daemon()); state != "inactive" {
		in.t.Errorf("after %s the daemon is %s", after, state)
	}
}

// run has a person give a command to the instance.
func (in *instance) run(p person, args ...string) result {
	in.t.Helper()
	return p.types(in.t, append([]string{program, args[0], "-c", in.name}, args[1:]...)...)
}

// deploy has a person deploy a release.
func (in *instance) deploy(p person, id string) result {
	in.t.Helper()
	dir := "/srv/" + in.name + "/" + id
	if err := os.MkdirAll(dir, 0o755); err != nil {
		in.t.Fatal(err)
	}
	return in.run(p, "deploy", "--release-path", dir, "--release-id", id)
}

// status is what matters here of the answer.
type status struct {
	PID             int     `json:"pid"`
	ActiveReleaseID *string `json:"activeReleaseId"`
}

func (s status) active() string {
	if s.ActiveReleaseID == nil {
		return ""
	}
	return *s.ActiveReleaseID
}

func (in *instance) status() (s status) {
	in.t.Helper()
	r := in.run(root(), "status")
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		in.t.Fatalf("status: exit %d, %s", r.code, r.stderr)
	}
	return s
}

// get is what the active release answers.
func (in *instance) get(path string) string {
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", in.port, path))
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// eventually waits until a condition holds.
func (in *instance) eventually(what string, holds func() bool) {
	in.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			in.t.Fatalf("not so: %s", what)
		}
	}
}

func (in *instance) cleanup() {
	if in.t.Failed() {
		in.t.Logf("the journal: %s", root().types(in.t, "journalctl", "--no-pager", "-n", "40", "-u", in.daemon(), "-u", in.socket(), "-u", "rollbridge-"+in.name+".*").stdout)
	}
	exec.Command("systemctl", "stop", in.socket(), in.controlSocket(), in.daemon()).Run()
	os.Remove(in.config())
	os.RemoveAll("/var/lib/rollbridge/" + in.name)
	exec.Command("systemctl", "reset-failed", in.daemon()).Run()
}
