package systemdtest

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
)

// Command is a command on the machine, as from a rescue shell: it sees all of
// the machine and belongs to none of its units. The end of the context kills it,
// but not what it started.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	args := []string{"--target", fmt.Sprint(h.leader), "--all", "--root", "--", "setpriv", "--pdeathsig=KILL", "env", "--ignore-environment", "--chdir=/root",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", insideVariable + "=" + h.version}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(h.scope.Fd()), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Systemctl runs systemctl and returns all it said.
func (h *Host) Systemctl(args ...string) (string, error) {
	return output(h.Command(context.Background(), append([]string{"systemctl"}, args...)...))
}

// Unit runs a command as a unit of its own, as root, and returns all it said.
// The error is an *exec.ExitError with the command's exit code when it ran.
func (h *Host) Unit(argv ...string) (string, error) {
	run := []string{"systemd-run", "--wait", "--pipe", "--collect", "--quiet", "--service-type=exec", "--working-directory=/root",
		"--setenv=HOME=/root", "--setenv=" + insideVariable + "=" + h.version}
	return output(h.Command(context.Background(), append(run, argv...)...))
}

// Sh runs a script of the shell like Unit.
func (h *Host) Sh(script string) (string, error) { return h.Unit("sh", "-c", script) }

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	return string(out), err
}
