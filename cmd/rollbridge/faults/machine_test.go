package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// runtimeDir holds, for each instance, NAME.env with the daemon's environment and
// NAME.hold, whose lock holder keeps a daemon from starting.
const runtimeDir = "/run/faults"

// daemonUnit is the daemon of each instance.
const daemonUnit = `[Unit]
Description=rollbridge for %i
After=dbus.service
StartLimitIntervalSec=0

[Service]
Type=exec
EnvironmentFile=` + runtimeDir + `/%i.env
ExecStartPre=flock ` + runtimeDir + `/%i.hold true
ExecStart=` + program + ` daemon --config /etc/rollbridge/%i.yaml
Restart=always
RestartSec=100ms
KillMode=mixed
TimeoutStopSec=100
TimeoutStartSec=infinity
`

// prepareMachine makes what a package would have installed.
func prepareMachine() error {
	for _, dir := range []string{"/etc/rollbridge", runtimeDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/run/systemd/system/rollbridge@.service", []byte(daemonUnit), 0o644); err != nil {
		return err
	}
	if err := os.Symlink(program, "/usr/bin/rollbridge"); err != nil {
		return err
	}
	if out, err := exec.Command("groupadd", "--system", "rollbridge").CombinedOutput(); err != nil {
		return fmt.Errorf("groupadd: %w: %s", err, out)
	}
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl daemon-reload: %w: %s", err, out)
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

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, append([]string{"systemctl"}, args...)...)
}

// property is a property of a unit as `systemctl show` writes it.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(systemctl(t, "show", "--value", "--property", name, unit))
}

// properties is some properties of a unit by their names.
func properties(t *testing.T, unit string, names ...string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for line := range strings.Lines(systemctl(t, "show", "--property", strings.Join(names, ","), unit)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return values
}

// units is the names of the loaded services and scopes that match a pattern.
func units(t *testing.T, pattern string) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(systemctl(t, "list-units", "--all", "--plain", "--no-legend", "--type=service,scope", pattern)) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}
