package nginx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	repository = "/src"
	program    = "/usr/bin/rollbridge"
	host       = "shop.example.com" // as the shipped site has it
)

// patience is how long a check waits for something that has to happen. It is
// long, because only a failing check ever waits for its end.
const patience = 30 * time.Second

// prepareMachine makes what packages and people would have made: rollbridge is
// installed, nginx runs with all sites.
func prepareMachine() error {
	return errors.Join(
		link("/tests/rollbridge", program),
		link("/tests/rollbridge-generator", "/usr/lib/systemd/system-generators/rollbridge-generator"),
		shell("groupadd --system rollbridge"),
		os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost "+host+"\n::1 localhost ip6-localhost ip6-loopback\n"), 0o644), // Debian's, and the site
		shell("cp "+repository+"/packaging/systemd/*@.* /etc/systemd/system"),
		prepareInstances(),
		shell("systemctl daemon-reload"),
		startInstances(),
		makeCertificate(),
		prepareSites(),
		shell("systemctl start nginx"),
	)
}

func link(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Symlink(from, to)
}

func shell(script string) error {
	if out, err := exec.Command("sh", "-e", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return nil
}

// command runs a command that has to succeed, and returns what it wrote.
func command(t *testing.T, argv ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s%s", argv, err, out, &stderr)
	}
	return string(out)
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	timeout := time.After(patience)
	for !holds() {
		select {
		case <-ticks.C:
		case <-timeout:
			t.Fatalf("not so: %s", what)
		}
	}
}

// mainPID is the main process of a service.
func mainPID(t *testing.T, unit string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(command(t, "systemctl", "show", "--value", "--property", "MainPID", unit)))
	if err != nil || pid == 0 {
		t.Fatalf("%s has no main process: %v", unit, err)
	}
	return pid
}

// stopped reports whether a signal has stopped all threads of a process.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		t.Fatalf("process %d is gone: %v", pid, err)
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			return false
		}
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T ") {
			return false
		}
	}
	return true
}

// workers are the processes of nginx that serve.
func workers(t *testing.T) (pids []int) {
	t.Helper()
	master := mainPID(t, "nginx.service")
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", master))
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}
