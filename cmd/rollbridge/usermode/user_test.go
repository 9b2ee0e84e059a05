package usermode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a check waits for something that has to happen. It is
// long, because only a failing check ever waits for its end.
const patience = 30 * time.Second

// The user app of a test host.
const (
	uid     = 1000
	home    = "/home/app"
	runtime = "/run/user/1000"
)

// startManager gives the user a systemd that nobody has to be logged in for.
func startManager() error {
	for _, argv := range [][]string{{"loginctl", "enable-linger", "app"}, {"systemctl", "start", "user@1000.service"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", argv, err, out)
		}
	}
	return nil
}

// asUser makes a command one that the user types in a shell.
func asUser(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "USER=app", "PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + runtime}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setsid: true}
	return cmd
}

// result is what a run of a program left.
type result struct {
	stdout, stderr string
	code           int
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// user runs a command of the user that has to succeed.
func user(t *testing.T, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // also in cleanups
	defer cancel()
	r := run(t, asUser(exec.CommandContext(ctx, argv[0], argv[1:]...)))
	if r.code != 0 {
		t.Fatalf("%v: exit %d: %s%s", argv, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// write writes a file of the user's.
func write(t *testing.T, path, text string) {
	t.Helper()
	user(t, "mkdir", "-p", filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// units is the names of the user's loaded services and scopes that match a pattern.
func units(t *testing.T, pattern string) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(user(t, "systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "--type=service,scope", pattern)) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}
