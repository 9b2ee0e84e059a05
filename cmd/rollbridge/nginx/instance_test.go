package nginx

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// An instance is a daemon with examples/shop, socket-activated as the package
// does it.
type instance struct {
	name   string
	listen string // of the proxy, as in proxy.listen
	ports  int    // the first of ten for releases
	proxy  string // further settings of the proxy
}

// The instances. Those whose tests stop, kill or break something are apart from
// the others.
var (
	shop    = &instance{"shop", "127.0.0.1:8182", 18000, "drainTimeoutMs: 1500, forceStopTimeoutMs: 500"} // the address in the shipped site
	overUds = &instance{"uds", "unix:/run/rollbridge-shop.sock", 18010, "drainTimeoutMs: 1500, forceStopTimeoutMs: 500"}
	lab     = &instance{"lab", "127.0.0.1:8282", 18020, "drainTimeoutMs: 300, forceStopTimeoutMs: 300, holdTimeoutMs: 300"}
	strict  = &instance{"strict", "127.0.0.1:8382", 18030, "trustedProxies: []"}

	instances = []*instance{shop, overUds, lab, strict}
)

func (in *instance) config() string { return "/etc/rollbridge/" + in.name + ".yaml" }
func (in *instance) unit() string   { return "rollbridge@" + in.name + ".service" }
func (in *instance) dir() string    { return "/srv/" + in.name + "/releases" }

// prepareInstances writes their configurations.
func prepareInstances() error {
	errs := []error{os.MkdirAll("/etc/rollbridge", 0o755)}
	for _, in := range instances {
		yaml := fmt.Sprintf("user: app\nproxy: {listen: [%q], %s}\n", in.listen, in.proxy) +
			fmt.Sprintf("processes: [{id: web, policy: proxied, command: exec ./shop web, port: {from: %d, to: %d}}]\n", in.ports, in.ports+9)
		errs = append(errs, os.WriteFile(in.config(), []byte(yaml), 0o644))
	}
	return errors.Join(errs...)
}

// startInstances starts the daemons; all but the lab have a release v1.
func startInstances() error {
	for _, in := range instances {
		if err := shell("systemctl start rollbridge@" + in.name + ".socket " + in.unit()); err != nil {
			return err
		}
		if in == lab {
			continue
		}
		if err := in.deploy("v1"); err != nil {
			return err
		}
	}
	return nil
}

// deploy makes a release, if there is none, and deploys it.
func (in *instance) deploy(id string) error {
	dir := filepath.Join(in.dir(), id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := link("/tests/shop", dir+"/shop"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.WriteFile(dir+"/VERSION", []byte(id), 0o644); err != nil {
		return err
	}
	return in.cli("deploy", "--wait", "--release-path", dir, "--release-id", id)
}

func (in *instance) cli(args ...string) error {
	args = append(args[:1:1], append([]string{"--config", in.config()}, args[1:]...)...)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("rollbridge %v: %w: %s", args, err, out)
	}
	return nil
}

// release is one of a status.
type release struct {
	ReleaseID       string
	State           string
	ConnectionCount int
	Processes       []struct {
		ID   string
		PID  int
		Port int
	}
}

// releases are those of which the daemon knows; none when it does not answer.
func (in *instance) releases() []release {
	var status struct{ Releases []release }
	out, err := exec.Command(program, "status", "--config", in.config(), "--json").Output()
	if err != nil || json.Unmarshal(out, &status) != nil {
		return nil
	}
	return status.Releases
}

// active is the release that serves.
func (in *instance) active(t *testing.T) release {
	t.Helper()
	for _, r := range in.releases() {
		if r.State == "active" {
			return r
		}
	}
	t.Fatalf("%s has no active release", in.name)
	return release{}
}

// awaitActive waits until a daemon has taken the active release up.
func (in *instance) awaitActive(t *testing.T) {
	t.Helper()
	eventually(t, in.name+" has an active release", func() bool {
		return slices.ContainsFunc(in.releases(), func(r release) bool { return r.State == "active" })
	})
}

// only reports whether all releases but one have been stopped.
func (in *instance) only(id string) bool {
	for _, r := range in.releases() {
		if r.State != "stopped" && (r.State != "active" || r.ReleaseID != id) {
			return false
		}
	}
	return true
}

// webPID is the web process of the active release.
func (in *instance) webPID(t *testing.T) int { return in.active(t).Processes[0].PID }

// address is where the active release listens.
func (in *instance) address(t *testing.T) string {
	return "127.0.0.1:" + strconv.Itoa(in.active(t).Processes[0].Port)
}

// kill kills a process and waits until it is gone.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
	eventually(t, "it is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}
