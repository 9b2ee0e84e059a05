package emulated

import (
	"os/exec"
	"strings"
	"testing"
)

// A container has no log of the kernel; at a boot there is nothing else to tell.
func TestTheGeneratorTellsTheKernelsLog(t *testing.T) {
	script := `mkdir -p /etc/rollbridge /usr/lib/systemd/system-generators
printf 'proxy: {prot: 9001}\n' >/etc/rollbridge/shop.yaml
ln -s "$1" /usr/lib/systemd/system-generators/
systemctl daemon-reload
journalctl --sync
journalctl --no-pager -b --output=cat _TRANSPORT=kernel -p warning -t rollbridge-generator
rm /usr/lib/systemd/system-generators/rollbridge-generator /etc/rollbridge/shop.yaml`
	out, err := exec.Command("sh", "-e", "-c", script, "sh", "/tests/rollbridge-generator").CombinedOutput()
	if want := "/etc/rollbridge/shop.yaml:1:9: unknown key proxy.prot; hint: did you mean `port`?"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s", err, out)
	}
}
