package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// runner is the runner that the checks are made with.
const runner = "direct"

// TestMain runs the acceptance checks in test hosts: the tests of this package
// are theirs.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if systemdtest.Inside() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "rollbridge-integration-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program, checks := filepath.Join(dir, "rollbridge"), filepath.Join(dir, "acceptance.test")
	for _, args := range [][]string{
		{"build", "-o", program, "rollbridge/cmd/rollbridge"},
		{"test", "-c", "-o", checks, "rollbridge/cmd/rollbridge/acceptance"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("go %v: %v\n%s", args, err, out)
			return 1
		}
	}
	return systemdtest.Run(checks, "ROLLBRIDGE_BIN=/tests/rollbridge", "ROLLBRIDGE_RUNNER="+runner)
}
