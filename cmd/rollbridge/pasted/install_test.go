package pasted

import (
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// upgrade begins the block before which a newer package is there.
const upgrade = "# the newer package is here\n"

// firstDeploy are the blocks of the README that install the package and deploy.
func firstDeploy(t *testing.T) []string {
	t.Helper()
	readme := page(t, "README.md")
	return append(blocksOf(t, section(t, readme, "Install")), blocksOf(t, section(t, readme, "A first deploy on a server"))...)
}

// The page about installing goes on where the README's first deploy ends.
func TestFirstDeployAndInstallPageCanBePasted(t *testing.T) {
	first, install := firstDeploy(t), blocksOf(t, page(t, "docs/install.md"))
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		withPackage(t, h)
		out := pasteAll(t, h, "ann", first)
		if n := strings.Count(out, "hello from release 1\n"); n != 2 {
			t.Errorf("release 1 answered %d times, want before the second deploy and after the rollback:\n%s", n, out)
		}
		if strings.Contains(out, "warnings") {
			t.Errorf("a first deploy has warnings:\n%s", out)
		}
		if err := h.Reboot(); err != nil {
			t.Fatal(err)
		}
		answers(t, h, 8182, "1")
		for _, block := range install {
			if !strings.HasPrefix(block, upgrade) {
				pasteAll(t, h, "ann", []string{block})
				continue
			}
			before := processes(t, h)
			withNewerPackage(t, h)
			if out := paste(t, h, block); !strings.Contains(out, "+newer") {
				t.Errorf("nothing was upgraded:\n%s", out)
			}
			if after := processes(t, h); after != before || strings.Count(before, "\n") != 2 {
				t.Errorf("processes are\n%safter the upgrade, and were\n%s", after, before)
			}
			answers(t, h, 8080, "1")
		}
		if left := processes(t, h); left != "" {
			t.Errorf("after the purge there is\n%s", left)
		}
		paste(t, h, "! ls -d /etc/rollbridge /var/lib/rollbridge /run/rollbridge /usr/bin/rollbridge && systemctl list-units --plain --no-legend --failed | (! grep .)")
	})
}

// processes are those of the application, a line each with the pid.
func processes(t *testing.T, h *systemdtest.Host) string {
	t.Helper()
	return paste(t, h, "pgrep --list-full --uid hello || true")
}
