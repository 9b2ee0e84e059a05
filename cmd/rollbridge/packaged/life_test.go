package packaged

import (
	"os"
	"strings"
	"testing"
)

// found lists what a host has of rollbridge, but for the record of the package
// manager and the journal.
const found = `find / -xdev -iname '*rollbridge*' -not -path '/built/*' -not -path '/share/*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/log/*' | sort`

// The life of the package on a server: installed, used, booted, upgraded under
// load, downgraded, removed, purged.
func TestFromInstallationToPurge(t *testing.T) {
	each(t, func(s *server) {
		s.equal("before the installation", s.sh(found), "")
		s.install("old")
		s.equal("failed units after the installation", s.sh("systemctl list-units --failed --plain --no-legend"), "")
		s.equal("the socket without a configuration", s.sh("systemctl is-active rollbridge.socket || true"), "inactive")
		s.equal("the socket at the next boot", s.sh("systemctl is-enabled rollbridge.socket rollbridge-control.socket rollbridge.service"), "enabled\nenabled\nenabled")

		s.configure()
		if out, err := s.try(ask); err == nil || !strings.Contains(out, "503") {
			s.t.Errorf("without a release: %v, %s", err, out)
		}
		s.deploy("v1")
		s.answers("v1")
		s.contains("systemctl status", s.sh("systemctl status --no-pager rollbridge"), `Status: "shop: v1 active just now"`)
		s.contains("the journal", s.sh("journalctl --no-pager -u rollbridge -u 'rollbridge-*'"), "traffic switched")

		if err := s.Reboot(); err != nil {
			s.t.Fatal(err)
		}
		s.answers("v1") // held until it is back
		s.await("systemctl is-active rollbridge.service rollbridge.socket rollbridge-shop.worker.v1.service rollbridge-shop.scheduler.service")

		s.deploy("v2")
		s.drained("v1")
		before, daemon := s.pids(), s.daemonPID()
		s.underLoad(func() {
			s.install("new")
			s.awaitDaemon(daemon)
		})
		s.equal("the version after the upgrade", s.status().DaemonRuntime.Version, "99.0")
		s.equal("processes after the upgrade", s.pids(), before)
		daemon = s.daemonPID()
		s.underLoad(func() {
			s.install("old")
			s.awaitDaemon(daemon)
		})
		if version := s.status().DaemonRuntime.Version; version == "99.0" {
			s.t.Errorf("after the downgrade the daemon is still %s", version)
		}
		s.equal("processes after the downgrade", s.pids(), before)

		s.sh("apt-get remove -q -y rollbridge")
		s.equal("processes after the removal", s.sh("pgrep -u app || true"), "")
		s.equal("units after the removal", s.sh("systemctl list-units --all --plain --no-legend 'rollbridge*' | grep -v not-found || true"), "")
		s.sh("test -e /etc/rollbridge/rollbridge.yaml")
		s.install("old") // everything comes back
		s.await("systemctl is-active rollbridge.socket")
		s.await(ask)
		s.sh("apt-get purge -q -y rollbridge")
		s.equal("files after the purge", s.sh(found), "")
		s.equal("processes after the purge", s.sh("pgrep -u app || true"), "")
		s.equal("failed units after the purge", s.sh("systemctl list-units --failed --plain --no-legend"), "")
	})
}

// What debian/tests has for autopkgtest.
func TestThePackagesOwnTest(t *testing.T) {
	script, err := os.ReadFile("../../../debian/tests/deploy")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(s *server) {
		s.install("old")
		s.write("/root/deploy", string(script))
		s.sh("sh /root/deploy")
	})
}

func TestInstallationMindsTheAdministrator(t *testing.T) {
	each(t, func(s *server) {
		// Nothing may be started, policy says.
		s.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
		s.write("/etc/rollbridge/rollbridge.yaml", shopConfig)
		s.sh("chmod +x /usr/sbin/policy-rc.d")
		s.install("old")
		s.equal("against the policy", s.sh("systemctl is-active rollbridge.socket rollbridge.service || true"), "inactive\ninactive")
		s.equal("at the next boot", s.sh("systemctl is-enabled rollbridge.socket"), "enabled")
		s.sh("rm /usr/sbin/policy-rc.d")

		// What was stopped and disabled stays so over an upgrade, and what is masked.
		s.sh("systemctl disable rollbridge.socket rollbridge-control.socket rollbridge.service")
		s.install("new")
		s.equal("disabled and stopped", s.sh("systemctl is-active rollbridge.socket rollbridge.service || true"), "inactive\ninactive")
		s.equal("at the next boot", s.sh("systemctl is-enabled rollbridge.socket rollbridge.service || true"), "disabled\ndisabled")
		s.sh("systemctl mask rollbridge.service rollbridge.socket rollbridge-control.socket")
		s.install("old")
		s.equal("masked", s.sh("systemctl is-enabled rollbridge.socket || true"), "masked")
		s.sh("apt-get purge -q -y rollbridge")
		s.equal("failed units", s.sh("systemctl list-units --failed --plain --no-legend"), "")
	})
}

// The machine goes down when the package is unpacked and not yet set up.
func TestAnInterruptedInstallationIsFinished(t *testing.T) {
	each(t, func(s *server) {
		s.write("/etc/rollbridge/rollbridge.yaml", shopConfig)
		s.sh("dpkg --unpack /built/rollbridge_old.deb")
		if err := s.Reboot(); err != nil {
			s.t.Fatal(err)
		}
		s.sh("dpkg --configure -a")
		s.equal("the sockets", s.sh("systemctl is-active rollbridge.socket rollbridge-control.socket || true"), "active\nactive")
		s.configure()
		s.deploy("v1")
		s.answers("v1")
	})
}

// Two applications on one server, of which one has another address.
func TestInstancesSideBySide(t *testing.T) {
	each(t, func(s *server) {
		s.install("old")
		s.configure()
		blog := strings.NewReplacer("application: shop", "application: blog", "8182", "9001", "18100", "18300", "18199", "18399", "18000", "18200", "18099", "18299").Replace(shopConfig)
		s.write("/etc/rollbridge/blog.yaml", blog)
		s.sh("systemctl daemon-reload && systemctl start rollbridge@blog.socket")
		s.deploy("v1")
		s.sh("rollbridge deploy -c blog --release-path /srv/shop/releases/v2 --release-id v2")
		s.answers("v1")
		s.equal("the blog", s.sh("curl -sS --max-time 30 http://127.0.0.1:9001/release"), "v2")
		s.contains("rollbridge list", s.sh("rollbridge list"), "blog", "shop", "v1", "v2", "9001", "8182")

		// A new address is written in one place.
		s.write("/etc/rollbridge/blog.yaml", strings.Replace(blog, "9001", "9002", 1))
		s.sh("systemctl daemon-reload && systemctl restart rollbridge@blog.socket")
		s.equal("the blog at its new address", s.sh("curl -sS --max-time 30 http://127.0.0.1:9002/release"), "v2")
		if _, err := s.try("curl -sS --max-time 30 http://127.0.0.1:9001/release"); err == nil {
			s.t.Error("the old address still answers")
		}
		if err := s.Reboot(); err != nil {
			s.t.Fatal(err)
		}
		s.answers("v1")
		s.equal("the blog after a boot", s.sh("curl -sS --max-time 30 http://127.0.0.1:9002/release"), "v2")
		s.sh("apt-get purge -q -y rollbridge")
		s.equal("files after the purge", s.sh(found), "")
		s.equal("processes after the purge", s.sh("pgrep -u app || true"), "")
	})
}
