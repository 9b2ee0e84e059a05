package instances

import (
	"strings"
	"testing"
)

func TestWhatSystemdHasNotReadIsTold(t *testing.T) {
	in := newInstance(t, "stale").open()
	quiet := func(r result) {
		t.Helper()
		if r.code != 0 || strings.Contains(r.stderr, "daemon-reload") {
			t.Errorf("%+v", r)
		}
	}
	quiet(in.run(root(), "validate"))
	quiet(in.deploy(root(), "v1"))
	in.configure("releaseRetention: {keep: 3}")
	quiet(in.run(root(), "validate"))
	quiet(in.deploy(member(), "v2"))

	in.configure("shutdownTimeoutMs: 5000")
	in.run(root(), "validate").says(t, 0, "warning: /etc/rollbridge/stale.yaml:1:1: systemd has not read this configuration", "`systemctl daemon-reload` brings")
	in.deploy(member(), "v3").says(t, 0, "note: /etc/rollbridge/stale.yaml: systemd has not read this configuration")
	systemctl(t, "daemon-reload")
	quiet(in.run(root(), "validate"))
	quiet(in.deploy(member(), "v4"))

	in.port++
	in.configure("")
	in.run(root(), "validate").says(t, 0, "`systemctl daemon-reload && systemctl restart rollbridge@stale.socket` brings")
	systemctl(t, "daemon-reload")
	systemctl(t, "restart", in.socket())
	quiet(in.run(root(), "validate"))
	if got := in.get("/"); got != "v4" {
		t.Errorf("the new address answers %q", got)
	}
}
