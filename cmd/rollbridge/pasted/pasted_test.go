package pasted

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/systemd/systemdtest"
)

const manual = "../../../docs/systemd.md"

// installed is what the package does.
const installed = `
groupadd --system rollbridge
install -m 755 /share/rollbridge /usr/bin/
install -D -m 755 /share/rollbridge-generator /usr/libexec/rollbridge/rollbridge-generator
install -m 644 /share/systemd/rollbridge*.s* /usr/lib/systemd/system/
mkdir -p /etc/rollbridge /usr/lib/systemd/system-generators
ln -s /usr/libexec/rollbridge/rollbridge-generator /usr/lib/systemd/system-generators/
systemctl daemon-reload
systemctl enable --quiet rollbridge.service
`

// before is what the manual takes for granted: the package, an application, a
// journal that is kept.
const before = installed + `
useradd --create-home shop
for release in v1 v2; do install -D -m 755 /share/minimal /srv/shop/releases/$release/app; done
mkdir -p /var/log/journal && systemctl restart systemd-journald
`

// asUser begins a block that is not for root.
const asUser = "# as the user\n"

func TestCommandsOfTheManualCanBePasted(t *testing.T) {
	blocks := blocksOf(t, manual)
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		build(t, h.Share())
		paste(t, h, before)
		for _, block := range blocks {
			if strings.HasPrefix(block, asUser) {
				pasteAsUser(t, h, block)
			} else {
				paste(t, h, block)
			}
		}
		answers(t, h, 8183, "v1-limits")
		answers(t, h, 8282, "v1")
		if err := h.Reboot(); err != nil {
			t.Fatal(err)
		}
		answers(t, h, 8183, "v1-limits")
		answers(t, h, 8282, "v1")
		paste(t, h, "systemctl is-active rollbridge-shop.broker.service rollbridge-shop.scheduler.service rollbridge-shop.worker.v1-limits.service")
	})
}

// blocksOf are the blocks of shell commands in a page.
func blocksOf(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(text), "\n```sh\n")[1:] {
		block, _, closed := strings.Cut(part, "\n```\n")
		if !closed {
			t.Fatalf("a block does not end:\n%s", part)
		}
		blocks = append(blocks, block+"\n")
	}
	if len(blocks) < 3 {
		t.Fatalf("%s has only %d blocks", page, len(blocks))
	}
	return blocks
}

// build puts what the package has, and the application, into the directory that a
// host shares.
func build(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", dir, "rollbridge/cmd/rollbridge", "rollbridge/cmd/rollbridge-generator", "rollbridge/examples/minimal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.CopyFS(filepath.Join(dir, "systemd"), os.DirFS("../../../packaging/systemd")); err != nil {
		t.Fatal(err)
	}
}

// paste runs a block, of which every command must succeed.
func paste(t *testing.T, h *systemdtest.Host, block string) {
	t.Helper()
	if out, err := run(t, h, "sh", "-e", "-c", block); err != nil {
		t.Fatalf("%v:\n%s\n%s", err, block, out)
	}
}

// pasteAsUser runs a block as the user, once the user's own systemd is there.
func pasteAsUser(t *testing.T, h *systemdtest.Host, block string) {
	t.Helper()
	const login = `
uid=$(id -u shop)
until test -S /run/user/$uid/bus; do sleep 0.05; done
cd /home/shop
exec setpriv --reuid shop --regid shop --init-groups env HOME=/home/shop USER=shop XDG_RUNTIME_DIR=/run/user/$uid sh -e -c "$0"`
	if out, err := run(t, h, "sh", "-e", "-c", login, block); err != nil {
		t.Fatalf("%v, as the user:\n%s\n%s", err, block, out)
	}
}

// run runs a command in a scope: on 252 nobody hears of the end of a service when
// systemd was reloaded meanwhile.
func run(t *testing.T, h *systemdtest.Host, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := h.Command(ctx, append([]string{"systemd-run", "--scope", "--quiet", "--collect", "--"}, argv...)...).CombinedOutput()
	return string(out), err
}

// answers waits until a release answers at the address of a proxy.
func answers(t *testing.T, h *systemdtest.Host, port int, release string) {
	t.Helper()
	ask := fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d && printf 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3 && cat <&3`, port)
	want := "hello from release " + release + "\n"
	var out string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ = run(t, h, "bash", "-c", ask); strings.HasSuffix(out, want) {
			return
		}
	}
	t.Fatalf("port %d answers %q, not %q", port, out, want)
}
