package pasted

import (
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// beforeNginx is what the page takes for granted: rollbridge with an application,
// and the nginx of the distribution.
const beforeNginx = `
apt-get install -y ./rollbridge_*.deb
install -D -m 755 /share/shop /srv/shop/releases/v1/shop
cat > /etc/rollbridge/rollbridge.yaml <<'END'
application: shop
user: www-data
proxy: {port: 8182}
processes:
  - {id: web, policy: proxied, command: exec ./shop web, port: {from: 18000, to: 18099}}
END
systemctl daemon-reload
systemctl start rollbridge.socket nginx.service
rollbridge deploy --release-path /srv/shop/releases/v1 --release-id v1
`

func TestCommandsForNginxCanBePasted(t *testing.T) {
	blocks := blocksOf(t, page(t, "docs/nginx.md"))
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		withPackage(t, h)
		withProgram(t, h, "shop")
		paste(t, h, beforeNginx)
		for _, block := range blocks {
			old, _ := run(t, h, "pgrep", "-f", "^nginx: worker process$")
			out, err := run(t, h, "sh", "-e", "-c", block)
			if err != nil {
				t.Fatalf("%v:\n%s\n%s", err, block, out)
			}
			if strings.Contains(block, "reload nginx") {
				paste(t, h, "for pid in "+strings.Join(strings.Fields(old), " ")+"; do while test -e /proc/$pid; do sleep 0.02; done; done")
			}
			if strings.Contains(block, "Upgrade: websocket") && !strings.HasPrefix(out, "HTTP/1.1 101 Switching Protocols") {
				t.Errorf("the WebSocket is answered %q", out)
			}
		}
		said, _ := run(t, h, "curl", "-sS", "-H", "Host: shop.example.com", "http://127.0.0.1/request")
		if !strings.Contains(said, "X-Forwarded-For: 127.0.0.1\r\n") { // without the address of nginx: it came over the Unix socket
			t.Errorf("in the end the application answers %q", said)
		}
	})
}
