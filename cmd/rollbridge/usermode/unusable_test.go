package usermode

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// minimal is a configuration for processes of a user.
func minimal(t *testing.T, dir, user string) string {
	t.Helper()
	file := filepath.Join(dir, "rollbridge.yaml")
	text := "application: unusable\nuser: " + user + "\ncontrol: {path: control.sock}\nproxy: {port: 0}\nprocesses: [{id: web, policy: proxied, command: sleep infinity, port: 0}]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// openDir is a directory that all users may read.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// withoutSystemd is a machine that systemd does not run.
func withoutSystemd(argv ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--mount", "sh", "-c", `mount -t tmpfs none /run/systemd && exec "$@"`, "sh"}, argv...)...)
}

func TestSystemdThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	root, nobody := minimal(t, t.TempDir(), "app"), minimal(t, openDir(t), "daemon")
	file := home + "/unusable/rollbridge.yaml"
	user(t, "mkdir", "-p", filepath.Dir(file))
	minimal(t, filepath.Dir(file), "app")
	direct := "--runner direct processes run as children of the daemon, and end with it"
	for name, tt := range map[string]struct {
		cmd        *exec.Cmd
		says, hint string
	}{
		"no systemd":         {withoutSystemd(program, "daemon", "--config", root, "--runner", "systemd"), "systemd does not run this machine: there is no /run/systemd/system", direct},
		"no systemd, --user": {asUserIn(withoutSystemd("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", program, "daemon", "--config", file, "--user")), "systemd does not run this machine", "without --user"},
		"not root":           {asUser(exec.Command(program, "daemon", "--config", file, "--runner", "systemd")), "only root can have the system's systemd run processes", "--user"},
		"bus gone":           {with(exec.Command(program, "daemon", "--config", root, "--runner", "systemd"), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/gone"), "systemd cannot be reached: connect to systemd at unix:path=/run/gone", "systemctl start dbus.service"},
		"no manager":         {withoutManager(exec.Command(program, "daemon", "--config", nobody, "--user")), "systemd cannot be reached", "loginctl enable-linger daemon"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, tt.cmd)
			first, second, _ := strings.Cut(r.stderr, "\n")
			if r.code != 1 || r.stdout != "" || !strings.HasPrefix(first, "error: the systemd runner cannot be used: ") || !strings.Contains(first, tt.says) ||
				!strings.HasPrefix(second, "hint: ") || !strings.Contains(second, tt.hint) || strings.Count(r.stderr, "\n") != 2 {
				t.Errorf("exit %d, stdout %q, stderr:\n%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func with(cmd *exec.Cmd, variable string) *exec.Cmd {
	cmd.Env = append(os.Environ(), variable)
	return cmd
}

// asUserIn is the environment of the user for a command that becomes the user.
func asUserIn(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = asUser(new(exec.Cmd)).Env
	return cmd
}

// withoutManager runs a command as a user without a systemd.
func withoutManager(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = []string{"HOME=/", "USER=daemon", "PATH=/usr/bin:/bin"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	return cmd
}

func TestAutoFallsBackAndSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cmd    func(config string) *exec.Cmd
		reason string
	}{
		"not root": {func(string) *exec.Cmd {
			file := home + "/fallback/rollbridge.yaml"
			user(t, "mkdir", "-p", filepath.Dir(file))
			minimal(t, filepath.Dir(file), "app")
			return asUser(exec.Command(program, "daemon", "--config", file))
		}, "only root can have the system's systemd run processes"},
		"no systemd": {func(config string) *exec.Cmd { return withoutSystemd(program, "daemon", "--config", config) },
			"systemd does not run this machine: there is no /run/systemd/system"},
		"bus gone": {func(config string) *exec.Cmd {
			return with(exec.Command(program, "daemon", "--config", config, "--runner", "auto"), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/gone")
		}, "systemd cannot be reached: connect to systemd at unix:path=/run/gone: "},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := tt.cmd(minimal(t, t.TempDir(), "app"))
			config := cmd.Args[slices.Index(cmd.Args, "--config")+1]
			var says strings.Builder
			cmd.Stdout, cmd.Stderr = &says, &says
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				cmd.Process.Signal(syscall.SIGTERM)
				if err := cmd.Wait(); err != nil {
					t.Errorf("%v: %s", err, &says)
				}
			}()
			s := &shop{t: t}
			var text result
			s.eventually("the daemon answers", func() bool {
				text = run(t, exec.Command(program, "status", "--config", config, "--json"))
				return text.code == 0
			})
			var st struct{ Runner, RunnerReason string }
			if err := json.Unmarshal([]byte(text.stdout), &st); err != nil || st.Runner != "direct" || !strings.HasPrefix(st.RunnerReason, tt.reason) {
				t.Errorf("%+v, %v", st, err)
			}
			if r := run(t, exec.Command(program, "status", "--config", config, "--text")); !strings.Contains(r.stdout, "direct runner ("+tt.reason) {
				t.Errorf("%s%s", r.stdout, r.stderr)
			}
		})
	}
}
