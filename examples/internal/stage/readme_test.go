package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollbridge/socket/sockettest"
)

// TestREADMECommandsWorkWhenPasted runs the README's first deploy in a clone, with a
// home directory and ports of its own. The one on a server is for hosts with systemd.
func TestREADMECommandsWorkWhenPasted(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	home := t.TempDir()
	script := readmeScript(t, filepath.Join(home, "bin"))
	t.Cleanup(func() { shutDown(t, home) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", script)
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "ROLLBRIDGE_RUNNER=direct", "GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"hello from release 1\n", "traffic switched"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if n := strings.Count(string(out), "hello from release 1\n"); n != 2 {
		t.Errorf("release 1 answered %d times, want before the second deploy and after the rollback:\n%s", n, out)
	}
}

// readmeScript is the sh blocks of that section, with free ports, and with the
// program built to bin.
func readmeScript(t *testing.T, bin string) string {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A first deploy in a clone\n")
	section, _, _ = strings.Cut(section, "\n## ")
	script := ""
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		script += block[1]
	}
	base, port := sockettest.FreePort(t), strconv.Itoa(sockettest.FreePort(t))
	for _, c := range [][2]string{
		{"make build\n", "go build -buildvcs=false -o " + bin + "/rollbridge ./cmd/rollbridge\n"},
		{"$PWD/bin", bin},
		{"port: 8182 ", "port: " + port + " "},
		{"127.0.0.1:8182", "127.0.0.1:" + port},
		{"from: 18000, to: 18099", fmt.Sprintf("from: %d, to: %d", base, base+99)},
	} {
		if !strings.Contains(script, c[0]) {
			t.Fatalf("the README no longer says %q", c[0])
		}
		script = strings.ReplaceAll(script, c[0], c[1])
	}
	return script
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// shutDown ends what the run has left, which is a failure. The daemon has answered
// that it is shut down, and gets the time to end itself.
func shutDown(t *testing.T, home string) {
	s := &Stage{dir: home}
	var left []int
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if left, err = s.leftovers(); err != nil {
			t.Error(err)
		}
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, pid := range left {
		t.Errorf("process %d is left", pid)
		syscall.Kill(pid, syscall.SIGKILL)
	}
}
