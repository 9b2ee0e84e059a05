package bustest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"rollbridge/supervisor/systemd"
)

// asUser marks a run of this test binary by an ordinary user; its value says
// where the user's manager is to be found.
const asUser = "ROLLBRIDGE_TEST_AS_USER"

func TestTheManagerOfAUser(t *testing.T) {
	if os.Getenv(asUser) != "" {
		t.Skip("this is the user")
	}
	app, err := user.Lookup("app")
	if err != nil {
		t.Fatal(err)
	}
	// Without its bus the manager's private socket is left.
	runtime := filepath.Join("/run/user", app.Uid)
	private := filepath.Join(t.TempDir(), "runtime")
	if err := os.MkdirAll(private, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(runtime, "systemd"), filepath.Join(private, "systemd")); err != nil {
		t.Fatal(err)
	}
	reachable(t, private)

	output, err := runAs(app, runtime, "bus")
	if err == nil || !strings.Contains(string(output), "loginctl enable-linger app") {
		t.Errorf("without the user's manager: %v\n%s", err, output)
	}
	// By the bus it would have 25 seconds only, and it may not have noticed that
	// other tests have restarted that.
	systemctl(t, "restart", "systemd-logind.service")
	if out, err := exec.Command("loginctl", "enable-linger", "app").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		exec.Command("loginctl", "disable-linger", "app").Run()
		systemctl(t, "stop", "user@"+app.Uid+".service", "user-runtime-dir@"+app.Uid+".service")
	})
	systemctl(t, "start", "user@"+app.Uid+".service") // and wait
	for where, runtime := range map[string]string{"bus": runtime, "private socket": private} {
		if output, err := runAs(app, runtime, where); err != nil {
			t.Errorf("over the %s: %v\n%s", where, err, output)
		}
	}
}

// reachable lets everyone enter the directories that lead to a path.
func reachable(t *testing.T, path string) {
	for dir := path; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// runAs runs TestAsAUser as a user; the binary comes by a descriptor, since it
// may lie where the user cannot go.
func runAs(u *user.User, runtime, where string) ([]byte, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer self.Close()
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestAsAUser$", "-test.v")
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "USER=" + u.Username, "XDG_RUNTIME_DIR=" + runtime, asUser + "=" + where, "ROLLBRIDGE_TEST_HOST=" + os.Getenv("ROLLBRIDGE_TEST_HOST")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd.CombinedOutput()
}

// TestAsAUser is run by TestTheManagerOfAUser.
func TestAsAUser(t *testing.T) {
	where := os.Getenv(asUser)
	if where == "" {
		t.Skip("run by TestTheManagerOfAUser, as a user")
	}
	if hint, err := detect(t, systemd.Options{User: true}); err != nil {
		t.Fatalf("%v: %s", err, hint)
	}
	if hint, err := detect(t, systemd.Options{}); err == nil || !strings.Contains(hint, "--user") {
		t.Errorf("the system's manager, as a user: %v: %s", err, hint)
	}
	back := make(chan bool, 10)
	b := dialWith(t, systemd.Options{User: true, OnChange: func(is bool, err error) { back <- is }})
	name := run(t, b, "a", "exec sleep 1000", held)
	before := look(t, b, name)
	if before.ActiveState != "active" || !strings.HasPrefix(before.ControlGroup, "/user.slice/") {
		t.Errorf("the unit reads %+v", before)
	}
	changed, stop := b.Watch(name)
	defer stop()
	if err := b.Kill(t.Context(), name, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-changed
	eventually(t, b, name, "failed", active("failed"))
	if err := b.Restart(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if where == "private socket" {
		// It does not outlive a manager that executes itself anew.
		if out, err := exec.Command("systemctl", "--user", "daemon-reexec").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if is := <-back; is {
			t.Error("the connection was not lost")
		}
		if is := <-back; !is {
			t.Error("the connection was lost twice")
		}
	}
	if state := look(t, b, name); state.ActiveState != "active" {
		t.Errorf("the unit reads %+v", state)
	}
	err := dialWith(t, systemd.Options{}).StartTransient(t.Context(), "test-not-allowed.service", settings("true"))
	if err == nil || !strings.Contains(err.Error(), "it takes root, or the user's own manager (--user)") {
		t.Errorf("starting a unit of the system: %v", err)
	}
}

// detect is Detect with the hint of its error.
func detect(t *testing.T, opt systemd.Options) (hint string, err error) {
	err = systemd.Detect(t.Context(), opt)
	if why, ok := errors.AsType[*systemd.Unusable](err); ok {
		return why.Hint, err
	}
	return "", err
}

// sleepingChild is a process of our own.
func sleepingChild(t *testing.T) (pid int, stop func()) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}
