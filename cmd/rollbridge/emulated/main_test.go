package emulated

import (
	"os"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// In a machine the program and this test binary lie here.
const (
	program = "/tests/rollbridge"
	self    = "/tests/emulated.test"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "app" {
		appMain(os.Args[2])
		return
	}
	systemdtest.MainVM(m, "rollbridge/cmd/rollbridge", "rollbridge/cmd/rollbridge-generator")
}
