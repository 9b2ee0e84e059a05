package benchsystemd

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// Inside a host the programs lie here.
const (
	program = "/tests/rollbridge"
	app     = "/tests/minimal"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if systemdtest.Inside() || asked("test.bench") == "" {
		os.Exit(m.Run())
	}
	switch err := measure(os.Stdout); {
	case err == nil:
	case systemdtest.Excusable(err):
		fmt.Println("NOT MEASURED:", err)
	default:
		fmt.Println(err)
		os.Exit(1)
	}
}

func asked(name string) string { return flag.Lookup(name).Value.String() }

// measure runs the benchmarks in a host of each version, one after the other so
// that they do not disturb each other, and prints the table.
func measure(out io.Writer) error {
	dir, err := os.MkdirTemp("", "rollbridge-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := buildInto(dir); err != nil {
		return err
	}
	fmt.Fprintln(out, machine())
	t := table{}
	for _, version := range systemdtest.Versions {
		said, err := runInHost(version, dir)
		if err != nil {
			return fmt.Errorf("the benchmarks on systemd %s: %w\n%s", version, err, said)
		}
		t[version] = parse(said)
	}
	_, err = io.WriteString(out, "\n"+t.String())
	return err
}

// buildInto builds what is measured and who measures; the application's user
// starts programs from there.
func buildInto(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, filepath.Base(program)), "rollbridge/cmd/rollbridge"},
		{"build", "-o", filepath.Join(dir, filepath.Base(app)), "rollbridge/examples/minimal"},
		{"test", "-c", "-o", filepath.Join(dir, "bench.test"), "rollbridge/cmd/rollbridge/benchsystemd"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %v: %w\n%s", args, err, out)
		}
	}
	return nil
}

// runInHost runs the benchmarks that were asked for, as root in a scope.
func runInHost(version, dir string) (said string, err error) {
	h, err := systemdtest.Boot(version, dir+":/tests")
	if err != nil {
		return "", err
	}
	argv := []string{"systemd-run", "--scope", "--quiet", "--collect", "--", "/tests/bench.test", "-test.run=^$", "-test.timeout=20m"}
	for _, name := range []string{"test.bench", "test.benchtime"} {
		argv = append(argv, "-"+name+"="+asked(name))
	}
	cmd := h.Command(context.Background(), argv...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = errors.Join(cmd.Run(), h.Stop())
	return out.String(), err
}

// machine says what figures depend on.
func machine() string {
	load, _ := os.ReadFile("/proc/loadavg")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	cores, _ := exec.Command("nproc").Output()
	first := strings.Fields(string(load) + " ?")[0]
	return fmt.Sprintf("cores %s, kernel %s, load average at the start %s (above 3 other work is measured too), rounds %s",
		strings.TrimSpace(string(cores)), strings.TrimSpace(string(kernel)), first, asked("test.benchtime"))
}
