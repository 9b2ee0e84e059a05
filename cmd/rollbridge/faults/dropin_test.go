package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Not in parallel: drop-ins reach the processes of every instance.

// dropIn gives settings to the units that a directory of drop-ins is for, until
// the test ends.
func (in *instance) dropIn(dir, text string) {
	in.t.Helper()
	dir = filepath.Join("/run/systemd/system", dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		os.RemoveAll(dir)
		systemctl(in.t, "daemon-reload")
	})
	in.write(filepath.Join(dir, "50-test.conf"), text)
	systemctl(in.t, "daemon-reload")
}

// confinement is what the kernel says about a process: the files it may open, how
// nice it is, and whether it may write to /usr.
type confinement struct {
	files, nice string
	usr         string
}

func (in *instance) confinement(id string) confinement {
	in.t.Helper()
	proc := func(name string) string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", in.process(id).PID, name))
		if err != nil {
			in.t.Fatal(err)
		}
		return string(b)
	}
	var c confinement
	for line := range strings.Lines(proc("limits")) {
		if soft, isFiles := strings.CutPrefix(line, "Max open files"); isFiles {
			c.files = strings.Fields(soft)[1] // the hard one, since a Go program raises the soft one to it
		}
	}
	const nice = 19
	_, rest, _ := strings.Cut(proc("stat"), ") ")
	c.nice = strings.Fields(rest)[nice-3]
	c.usr = "writable"
	for line := range strings.Lines(proc("mountinfo")) {
		if f := strings.Fields(line); f[4] == "/usr" && strings.HasPrefix(f[5], "ro") {
			c.usr = "read-only"
		}
	}
	return c
}

const dropped = web + `
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20}
  - {id: queue, policy: service, command: "exec $APP worker", restartDelayMs: 20}`

func TestDropInsForServicesReachAllButTheWebProcess(t *testing.T) {
	in := start(t, "dropin", dropped)
	in.deploy("v1")
	before, confined := in.confinement("worker"), confinement{"4321", "5", "read-only"}
	in.dropIn("rollbridge-.service.d", "[Service]\nLimitNOFILE=4321\nNice=5\nProtectSystem=full\nEnvironment=LOST=yes\n")
	if now := in.confinement("worker"); now != before {
		t.Errorf("the running worker had %+v, has %+v", before, now)
	}
	in.crash("queue")
	in.must("restart", "--process", "worker")
	for _, id := range []string{"worker", "queue"} {
		if c := in.confinement(id); c != confined {
			t.Errorf("%s has %+v; want %+v", id, c, confined)
		}
	}
	in.crash("web")
	if c := in.confinement("web"); c != before {
		t.Errorf("web has %+v; want %+v", c, before)
	}
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", in.process("worker").PID))
	if strings.Contains(string(env), "LOST=") {
		t.Error("the environment of a drop-in reaches the command")
	}
	in.stillRecorded()
}

// stillRecorded checks that the gates of sandboxed units can do their work.
func (in *instance) stillRecorded() {
	in.t.Helper()
	for _, id := range []string{"worker", "queue"} {
		restarts := in.process(id).Restarts
		if p := in.crash(id); p.Restarts != restarts+1 || p.LastStartReason != "crash" {
			in.t.Errorf("%s: %+v; want %d restarts", id, p, restarts+1)
		}
	}
	in.deploy("next")
	in.serves("next")
}

func TestStrictSandboxNeedsTheRunDirectory(t *testing.T) {
	in := start(t, "strict", dropped)
	in.dropIn("rollbridge-.service.d", "[Service]\nProtectSystem=strict\nReadWritePaths=/run/rollbridge /srv\n")
	in.deploy("v1")
	if c := in.confinement("worker"); c.usr == "writable" {
		// strict makes the root itself read-only, and with it /usr
		mounts, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", in.process("worker").PID))
		if !strings.Contains(string(mounts), " / / ro") {
			t.Errorf("the worker may write anywhere:\n%s", mounts)
		}
	}
	in.stillRecorded()
}

func TestDropInsForTheDaemonReachTheWebProcess(t *testing.T) {
	in := start(t, "inherit", dropped)
	in.deploy("v1")
	before := in.confinement("worker")
	in.dropIn(in.daemon()+".d", "[Service]\nLimitNOFILE=4321\nNice=5\nProtectSystem=full\nEnvironment=KEPT=yes\n")
	systemctl(t, "restart", in.daemon())
	in.eventually("the daemon takes commands", func() bool { _, ok := in.look(); return ok })
	in.deploy("v2")
	if c, want := in.confinement("web"), (confinement{"4321", "5", "read-only"}); c != want {
		t.Errorf("web has %+v; want %+v", c, want)
	}
	if c := in.confinement("worker"); c != before {
		t.Errorf("worker has %+v; want %+v", c, before)
	}
	for _, id := range []string{"web", "worker"} {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", in.process(id).PID))
		if !strings.Contains(string(env), "\x00KEPT=yes\x00") {
			t.Errorf("%s does not have the daemon's environment", id)
		}
	}
}

func TestDropInsForScopesAndTheSliceHoldAtOnce(t *testing.T) {
	in := start(t, "limits", dropped)
	in.deploy("v1")
	in.dropIn("rollbridge-.scope.d", "[Scope]\nTasksMax=321\nMemoryMax=500M\n")
	in.dropIn("rollbridge-limits.slice.d", "[Slice]\nTasksMax=4321\nMemoryMax=2G\n")
	holds := func(unit, tasks, memory string) {
		t.Helper()
		if p := properties(t, unit, "TasksMax", "MemoryMax"); p["TasksMax"] != tasks || p["MemoryMax"] != memory {
			t.Errorf("%s has %v; want %s and %s", unit, p, tasks, memory)
		}
	}
	holds("rollbridge-limits.slice", "4321", "2147483648")
	holds("rollbridge-limits.web.v1.1.scope", "321", "524288000")
	in.crash("web")
	holds("rollbridge-limits.web.v1.2.scope", "321", "524288000")
}
