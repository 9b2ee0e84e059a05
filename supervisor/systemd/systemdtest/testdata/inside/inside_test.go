// Package inside is run by the tests of systemdtest.
package inside

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

func TestMain(m *testing.M) { systemdtest.Main(m) }

func TestTheManagerIsThatVersion(t *testing.T) {
	out, err := exec.Command("systemctl", "--version").Output()
	if version, _, _ := strings.Cut(string(out), " ("); version != "systemd "+os.Getenv("ROLLBRIDGE_TEST_HOST") {
		t.Errorf("%q, %v", version, err)
	}
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) { t.Parallel() })
	}
}

func TestTheSourcesAreAtHand(t *testing.T) {
	if _, err := os.Stat("inside_test.go"); err != nil {
		t.Error(err)
	}
}

func TestTheBusMayRestart(t *testing.T) {
	for _, args := range [][]string{{"restart", "dbus"}, {"daemon-reload"}, {"daemon-reexec"}} {
		if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
}

func TestFailWhereAsked(t *testing.T) {
	if version := os.Getenv("ROLLBRIDGE_TEST_HOST"); version == os.Getenv("ROLLBRIDGE_FAIL_ON") {
		t.Error("fails on", version)
	}
}
