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

// runner is what keeps processes running in these checks.
const runner = "systemd"

func TestMain(*testing.M) {
	flag.Parse()
	os.Exit(run())
}

func run() int {
	dir, err := os.MkdirTemp("", "rollbridge-integration-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	checks := filepath.Join(dir, "acceptance.test")
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, "rollbridge"), "rollbridge/cmd/rollbridge"},
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
