package systemdtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAHostRunsItsVersionOfSystemd(t *testing.T) {
	Each(t, func(t *testing.T, h *Host) {
		out, err := h.Systemctl("--version")
		if !strings.HasPrefix(out, "systemd "+h.Version()) {
			t.Errorf("systemctl --version: %q, %v", out, err)
		}
		if out, err := h.Systemctl("is-system-running"); out != "running\n" {
			t.Errorf("is-system-running: %q, %v", out, err)
		}
		if out, err := h.Systemctl("status"); err != nil {
			t.Errorf("status: %q, %v", out, err)
		}
	})
}

func TestAUnitGivesItsOutputAndExitCode(t *testing.T) {
	Each(t, func(t *testing.T, h *Host) {
		out, err := h.Sh("id -un; cat /proc/self/cgroup; echo oops >&2; exit 7")
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 7 || !strings.Contains(out, "\n0::/system.slice/run-") || !strings.HasSuffix(out, "oops\n") {
			t.Errorf("%q, %v", out, err)
		}
	})
}

func TestFilesAreShared(t *testing.T) {
	Each(t, func(t *testing.T, h *Host) {
		if err := os.WriteFile(filepath.Join(h.Share(), "in"), []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := h.Sh("cat /share/in && echo back >/share/out"); err != nil {
			t.Fatal(out, err)
		}
		if b, err := os.ReadFile(filepath.Join(h.Share(), "out")); string(b) != "back\n" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestTheDiskOutlivesAReboot(t *testing.T) {
	Each(t, func(t *testing.T, h *Host) {
		if out, err := h.Sh("echo kept >/root/kept && touch /run/lost && sync"); err != nil {
			t.Fatal(out, err)
		}
		for _, reboot := range []func() error{h.Reboot, h.Crash} {
			if err := reboot(); err != nil {
				t.Fatal(err)
			}
			if out, err := h.Sh("cat /root/kept; ls /run/lost"); !strings.HasPrefix(out, "kept\n") || err == nil {
				t.Errorf("%q, %v", out, err)
			}
		}
	})
}
