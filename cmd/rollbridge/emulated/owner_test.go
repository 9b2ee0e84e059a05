package emulated

import (
	"os"
	"strings"
	"testing"
)

// The distribution's kernel loads what tells the cgroup of a socket when it is
// asked, also by a daemon in a sandbox; without, nothing could be said of a web
// process that nobody may look into.
func TestTheKernelTellsWhoseTheListenerIs(t *testing.T) {
	const dropIns = "/run/systemd/system/rollbridge@owner.service.d"
	if err := os.MkdirAll(dropIns, 0o755); err != nil {
		t.Fatal(err)
	}
	sandbox := "[Service]\nCapabilityBoundingSet=~CAP_SYS_PTRACE CAP_SYS_MODULE CAP_NET_ADMIN CAP_SYS_ADMIN\nProtectKernelModules=yes\n"
	if err := os.WriteFile(dropIns+"/sandbox.conf", []byte(sandbox), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, "owner", 8240, `
  - {id: web, policy: proxied, command: "exec $APP secret", port: $PORTS}`)
	if got := s.rollbridge("deploy", "--release-path", s.dir(), "--json"); !strings.Contains(got, `"success"`) || strings.Contains(got, "warnings") {
		t.Error(got)
	}
}
