package pasted

import (
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// before is what the manual takes for granted: the package, an application, a
// journal that is kept.
const before = `
apt-get install -y ./rollbridge_*.deb
useradd --create-home shop
for release in v1 v2; do install -D -m 755 /share/minimal /srv/shop/releases/$release/app; done
mkdir -p /var/log/journal && systemctl restart systemd-journald
`

func TestCommandsOfTheManualCanBePasted(t *testing.T) {
	blocks := blocksOf(t, page(t, "docs/systemd.md"))
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		withPackage(t, h)
		withProgram(t, h, "minimal")
		paste(t, h, before)
		pasteAll(t, h, "shop", blocks)
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
