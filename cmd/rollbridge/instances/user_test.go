package instances

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A user may run daemons as units of their own; here the ones of the host, for
// the user's places.
func TestInstancesOfAUserAreTheUsers(t *testing.T) {
	for _, argv := range [][]string{{"loginctl", "enable-linger", "app"}, {"systemctl", "start", "user@1000.service"}} {
		root().types(t, argv...).says(t, 0)
	}
	t.Cleanup(func() {
		exec.Command("loginctl", "disable-linger", "app").Run()
		exec.Command("systemctl", "stop", "user@1000.service").Run()
	})
	const config = "/home/app/.config/rollbridge/mine.yaml"
	files := map[string]string{config: "proxy: {port: 29001}\nprocesses: [{id: web, policy: proxied, command: 'exec " + self + " app', port: {from: 29002, to: 29009}}]\n"}
	for _, name := range []string{"rollbridge@.service", "rollbridge@.socket", "rollbridge-control@.socket"} {
		text, err := os.ReadFile("/src/packaging/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files["/home/app/.config/systemd/user/"+name] = forUser(string(text))
	}
	files["/home/app/.config/systemd/user/rollbridge@mine.socket.d/50-rollbridge.conf"] = "[Socket]\nListenStream=127.0.0.1:29001\n"
	for path, text := range files {
		other().types(t, "mkdir", "-p", filepath.Dir(path)).says(t, 0)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	user := func(args ...string) {
		t.Helper()
		other().types(t, append([]string{"env", "XDG_RUNTIME_DIR=/run/user/1000", "systemctl", "--user"}, args...)...).says(t, 0)
	}
	mine := func(args ...string) result {
		t.Helper()
		return other().types(t, append([]string{program, args[0], "-c", "mine"}, args[1:]...)...)
	}
	user("daemon-reload")
	mine("status").says(t, 3, "`systemctl --user start rollbridge@mine.socket` starts it")
	user("start", "rollbridge@mine.socket", "rollbridge-control@mine.socket")
	mine("status").says(t, 3, "rollbridge@mine.service is inactive", "`systemctl --user start rollbridge@mine.service`")
	other().types(t, program, "list").says(t, 0, "mine (own)", "stopped")
	mine("ensure-daemon").says(t, 0, `"application": "mine"`, `"config": "`+config+`"`)
	mine("deploy", "--release-path", "/tmp", "--release-id", "v1").says(t, 0)
	other().types(t, program, "list").says(t, 0, "mine (own)", "running")
	root().types(t, program, "status", "-c", "mine").says(t, 1, `There is no instance "mine"`)
	mine("shutdown").says(t, 0)
	user("stop", "rollbridge@mine.socket", "rollbridge-control@mine.socket", "rollbridge@mine.service")
	user("start", "rollbridge@mine.socket", "rollbridge-control@mine.socket")
	mine("shutdown").says(t, 0) // the user may
	mine("shutdown").says(t, 3)
}

// forUser makes a unit of the host one of a user: other places, no groups, and
// nothing that only root can set.
func forUser(text string) string {
	var lines []string
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		key, _, _ := strings.Cut(line, "=")
		if strings.HasPrefix(line, "[") {
			section = line
		}
		switch key {
		case "SocketGroup", "Documentation", "After", "CapabilityBoundingSet", "LimitNOFILE":
			continue
		}
		if strings.HasPrefix(key, "Protect") || strings.HasPrefix(key, "Restrict") || section == "[Install]" {
			continue
		}
		lines = append(lines, line)
	}
	return strings.NewReplacer("/etc/rollbridge/", "%h/.config/rollbridge/", "/run/rollbridge/", "%t/rollbridge/",
		"daemon --runner systemd", "daemon --user").Replace(strings.Join(lines, "\n"))
}
