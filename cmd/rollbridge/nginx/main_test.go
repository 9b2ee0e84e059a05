package nginx

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run runs the tests inside a host of each version; there it is called again.
func run(m *testing.M) int {
	if !systemdtest.Inside() {
		return runInHosts()
	}
	if err := prepareMachine(); err != nil {
		fmt.Println(err)
		return 1
	}
	flag.Set("test.parallel", "4") // they wait more than they work
	return m.Run()
}

func runInHosts() int {
	dir, err := os.MkdirTemp("", "rollbridge-nginx-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the application's user starts programs from it
		panic(err)
	}
	binary := filepath.Join(dir, "nginx.test")
	builds := [][]string{
		{"test", "-c", "-o", binary, "rollbridge/cmd/rollbridge/nginx"},
		{"build", "-o", filepath.Join(dir, "shop"), "rollbridge/examples/shop"},
		{"build", "-o", filepath.Join(dir, "rollbridge-generator"), "rollbridge/cmd/rollbridge-generator"},
	}
	if other := os.Getenv("ROLLBRIDGE_BIN"); other == "" {
		builds = append(builds, []string{"build", "-o", filepath.Join(dir, "rollbridge"), "rollbridge/cmd/rollbridge"})
	} else if err := os.Link(other, filepath.Join(dir, "rollbridge")); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, args := range builds {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("go %v: %v\n%s", args, err, out)
			return 1
		}
	}
	return systemdtest.Run(binary)
}
