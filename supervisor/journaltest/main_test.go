package journaltest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// program is rollbridge, in a host.
const program = "/tests/rollbridge"

func TestMain(m *testing.M) {
	flag.Parse()
	if systemdtest.Inside() || flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	os.Exit(runInHosts())
}

// runInHosts runs these tests where rollbridge lies beside them.
func runInHosts() int {
	dir, err := os.MkdirTemp("", "rollbridge-journaltest-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	tests := filepath.Join(dir, "journal.test")
	for _, argv := range [][]string{
		{"cp", self, tests},
		{"env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(dir, filepath.Base(program)), "rollbridge/cmd/rollbridge"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			fmt.Printf("%v: %v\n%s", argv, err, out)
			return 1
		}
	}
	return systemdtest.Run(tests)
}
