package usermode

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// Inside a host the program and this test binary lie here.
const (
	program = "/tests/rollbridge"
	self    = "/tests/usermode.test"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "app" {
		appMain(os.Args[2])
		return
	}
	flag.Parse()
	if !systemdtest.Inside() {
		os.Exit(runInHosts())
	}
	if err := startManager(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func runInHosts() int {
	dir, err := os.MkdirTemp("", "rollbridge-usermode-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the user starts programs from it
		panic(err)
	}
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, filepath.Base(program)), "rollbridge/cmd/rollbridge"},
		{"test", "-c", "-o", filepath.Join(dir, filepath.Base(self)), "rollbridge/cmd/rollbridge/usermode"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("go %v: %v\n%s", args, err, out)
			return 1
		}
	}
	return systemdtest.Run(filepath.Join(dir, filepath.Base(self)))
}
