package pasted

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// beforeNginx is a machine with rollbridge, an application that runs, and the
// nginx of the distribution.
const beforeNginx = `
install -m 755 /share/rollbridge /usr/bin/rollbridge
install -D -m 644 /share/rollbridge.conf /usr/share/doc/rollbridge/examples/nginx/rollbridge.conf
install -D -m 755 /share/shop /srv/shop/releases/v1/shop
install -m 644 /share/rollbridge*.s* /etc/systemd/system
groupadd --system rollbridge
mkdir -p /etc/rollbridge
cat > /etc/rollbridge/rollbridge.yaml <<'END'
application: shop
user: www-data
proxy: {port: 8182}
processes:
  - {id: web, policy: proxied, command: exec ./shop web, port: {from: 18000, to: 18099}}
END
systemctl daemon-reload
systemctl start rollbridge.socket rollbridge.service nginx.service
rollbridge deploy --release-path /srv/shop/releases/v1 --release-id v1
`

func TestCommandsForNginxCanBePasted(t *testing.T) {
	blocks := blocksOf(t, "../../../docs/nginx.md")
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		build(t, h.Share())
		shareForNginx(t, h.Share())
		paste(t, h, beforeNginx)
		for _, block := range blocks {
			out, err := run(t, h, "sh", "-e", "-c", block)
			if err != nil {
				t.Fatalf("%v:\n%s\n%s", err, block, out)
			}
			if strings.Contains(block, "Upgrade: websocket") && !strings.HasPrefix(out, "HTTP/1.1 101 Switching Protocols") {
				t.Errorf("the WebSocket is answered %q", out)
			}
		}
	})
}

// shareForNginx adds what beforeNginx installs.
func shareForNginx(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "shop"), "rollbridge/examples/shop")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build shop: %v\n%s", err, out)
	}
	files, err := filepath.Glob("../../../packaging/systemd/rollbridge*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../../../packaging/nginx/rollbridge.conf") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
