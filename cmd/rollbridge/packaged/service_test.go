package packaged

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// prepared installs the package and deploys v1.
func prepared(s *server) {
	s.t.Helper()
	s.install("old")
	s.configure()
	s.deploy("v1")
	s.answers("v1")
}

func TestRestartsUnderLoad(t *testing.T) {
	each(t, func(s *server) {
		prepared(s)
		before := s.pids()
		s.underLoad(func() {
			for range 20 {
				s.sh("systemctl restart rollbridge")
			}
		})
		s.equal("processes after the restarts", s.pids(), before)
		s.sh("systemctl restart rollbridge.socket") // all three
		s.equal("processes after the restart of the sockets", s.pids(), before)
		s.answers("v1")
	})
}

// asking opens a connection for each request and writes down how curl ends.
const asking = `
while ! test -e /root/enough; do
  code=0
  curl -sS -o /dev/null --max-time 30 --connect-timeout 5 http://127.0.0.1:8182/release || code=$?
  echo $code
  touch /root/more
done > /root/asked
`

// Requests that a daemon has taken die with it; connections do not.
func TestKilledDaemonsUnderNewConnections(t *testing.T) {
	each(t, func(s *server) {
		prepared(s)
		before := s.pids()
		s.write("/root/ask", asking)
		s.sh("systemd-run --quiet --unit=ask sh /root/ask")
		for range 5 {
			daemon := s.daemonPID()
			s.sh("kill -KILL " + daemon)
			s.awaitDaemon(daemon)
			s.sh("rm -f /root/more")
			s.await("test -e /root/more") // requests go on
		}
		s.sh("touch /root/enough")
		s.await("! systemctl is-active ask.service")
		for code, n := range counts(s.sh("cat /root/asked")) {
			switch code {
			case "0":
				if n < 5 {
					s.t.Errorf("only %d requests", n)
				}
			case "52", "56": // taken, and cut
				if n > 5 {
					s.t.Errorf("%d requests were cut by 5 kills", n)
				}
			default:
				s.t.Errorf("curl exited %s, %d times", code, n)
			}
		}
		s.equal("processes after the kills", s.pids(), before)
	})
}

func counts(lines string) map[string]int {
	n := map[string]int{}
	for line := range strings.FieldsSeq(lines) {
		n[line]++
	}
	return n
}

// A daemon that hangs, in whatever way, is ended by the watchdog of systemd and
// started anew, and nothing that it runs ends.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	each(t, func(s *server) {
		prepared(s)
		before := s.pids()
		watchdogs := 0
		noticed := func(how, daemon string) {
			s.t.Helper()
			s.awaitDaemon(daemon)
			watchdogs++
			s.equal(how+": processes", s.pids(), before)
			s.answers("v1")
			if n := strings.Count(s.sh("journalctl --no-pager -u rollbridge"), "atchdog timeout"); n != watchdogs {
				s.t.Errorf("%s: the journal tells of %d watchdog timeouts, want %d", how, n, watchdogs)
			}
		}
		daemon := s.daemonPID()
		s.sh("systemctl kill --kill-whom=main -s STOP rollbridge")
		noticed("stopped by a signal", daemon)

		// A build in which loops can be made to hang; it need not take that long.
		s.write("/etc/systemd/system/rollbridge.service.d/soon.conf", "[Service]\nWatchdogSec=5s\n")
		s.sh("systemctl daemon-reload && install -m 755 /built/hanging /usr/bin/rollbridge && systemctl restart rollbridge")
		for _, loop := range []string{"supervisor", "proxy", "control socket"} {
			daemon := s.daemonPID()
			s.hang(loop)
			noticed("the "+loop+" loop hangs", daemon)
			s.contains("events", s.sh("rollbridge events --json"), `"loop": "`+loop)
		}
	})
}

// hang has a loop stand still: it does from its next connection on.
func (s *server) hang(loop string) {
	s.t.Helper()
	const socket = "/run/rollbridge/rollbridge/control.sock"
	s.sh(fmt.Sprintf(`(printf '{"command":"hang","loop":"%s"}\n'; sleep 0.5) | timeout 5 curl -sS -N --unix-socket %s telnet://localhost || true`, loop, socket))
	s.sh("timeout 1 curl -sS http://127.0.0.1:8182/release || true")
	s.sh("timeout 1 curl -sS --unix-socket " + socket + " http://localhost/ || true")
}

// Without descriptors, and with more clients than it can take, a daemon is no
// daemon that hangs.
func TestOverloadIsNoHang(t *testing.T) {
	t.Parallel()
	each(t, func(s *server) {
		s.install("old")
		s.write("/etc/systemd/system/rollbridge.service.d/few.conf", "[Service]\nLimitNOFILE=200\nWatchdogSec=5s\n")
		s.configure()
		s.deploy("v1")
		daemon := s.daemonPID()
		s.write("/root/idle", "for i in $(seq 400); do exec {fd}<>/dev/tcp/127.0.0.1/8182; done\nsleep 12\n")
		s.sh("ulimit -n 1000; bash /root/idle")
		s.equal("the daemon", s.daemonPID(), daemon)
		s.answers("v1")
		s.contains("events", s.sh("rollbridge events --json"), "too many open files")
	})
}

func TestShutdownStaysDown(t *testing.T) {
	each(t, func(s *server) {
		prepared(s)
		s.sh("rollbridge shutdown")
		s.await("! systemctl is-active rollbridge.socket && ! systemctl is-active rollbridge-control.socket && ! systemctl is-active rollbridge.service")
		s.equal("processes", s.sh("pgrep -u app || true"), "")
		if out, err := s.try("rollbridge status"); err == nil || !strings.Contains(out, "systemctl start rollbridge") {
			s.t.Errorf("status of a daemon that was shut down: %v, %s", err, out)
		}
		s.sh("systemctl start rollbridge.socket")
		s.answers("v1")
	})
}

// slow is a worker that takes six seconds to end.
const slow = `
trap 'told=1' TERM
while [ -z "$told" ]; do sleep 0.1; done
n=0
while [ $n -lt 60 ]; do sleep 0.1; n=$((n + 1)); done
`

// A start and an end that take longer than systemd would wait by itself.
func TestLongStartsAndEnds(t *testing.T) {
	t.Parallel()
	each(t, func(s *server) {
		s.install("old")
		s.write("/etc/systemd/system/rollbridge.service.d/short.conf", "[Service]\nTimeoutStartSec=3s\n")
		s.configure()
		s.write("/etc/rollbridge/rollbridge.yaml", strings.Replace(shopConfig, "command: exec ./shop web", "command: sleep 7; exec ./shop web", 1))
		s.deploy("v1")
		if err := s.Reboot(); err != nil {
			s.t.Fatal(err)
		}
		s.await("systemctl is-active rollbridge.service")
		s.answers("v1")
		s.equal("restarts", s.sh("systemctl show -P NRestarts rollbridge.service"), "0")

		s.sh("rm /etc/systemd/system/rollbridge.service.d/short.conf")
		s.write("/etc/rollbridge/rollbridge.yaml", strings.Replace(shopConfig, "command: exec ./shop worker, gracefulStopMs: 2000",
			"command: exec sh /srv/shop/slow, gracefulStopMs: 60000", 1))
		s.write("/srv/shop/slow", slow)
		s.deploy("v2")
		s.write("/run/systemd/system/rollbridge.service.d/90-short.conf", "[Service]\nTimeoutStopSec=3s\n")
		s.sh("systemctl daemon-reload")
		begun := time.Now()
		s.sh("systemctl stop rollbridge.socket")
		if took := time.Since(begun); took < 6*time.Second {
			s.t.Errorf("the end took %s, it was cut short", took)
		}
		s.equal("the result", s.sh("systemctl show -P Result rollbridge.service"), "success")
		s.equal("processes", s.sh("pgrep -u app || true"), "")
	})
}

// Without a usable configuration, and none in force, clients are answered.
func TestWithoutAUsableConfiguration(t *testing.T) {
	each(t, func(s *server) {
		broken := strings.Replace(shopConfig, "user: app", "usr: app", 1)
		s.install("old")
		s.configure()
		s.write("/etc/rollbridge/rollbridge.yaml", broken)
		if out, err := s.try(ask); err == nil || !strings.Contains(out, "503") {
			s.t.Errorf("a request: %v, %s", err, out)
		}
		s.await("systemctl is-active rollbridge.service")
		s.contains("systemctl status", s.sh("systemctl status --no-pager --full rollbridge"), "no usable configuration", "usr")
		s.contains("rollbridge status", s.sh("rollbridge status --text"), "no usable configuration", "usr", "127.0.0.1:8182", "without a configuration")
		if out, err := s.try("rollbridge deploy --release-path /srv/shop/releases/v1 --release-id v1"); err == nil || !strings.Contains(out, "usr") {
			s.t.Errorf("a deploy: %v, %s", err, out)
		}
		s.write("/etc/rollbridge/rollbridge.yaml", shopConfig)
		s.deploy("v1")
		s.answers("v1")

		// With one in force the next daemon goes on with that.
		s.write("/etc/rollbridge/rollbridge.yaml", broken)
		s.sh("systemctl daemon-reload && systemctl restart rollbridge.socket")
		s.answers("v1")
		s.await("systemctl is-active rollbridge.service")
		s.contains("systemctl status", s.sh("systemctl status --no-pager --full rollbridge"), "v1 active", "cannot be used")

		// So it does with an application that was renamed.
		s.write("/etc/rollbridge/rollbridge.yaml", strings.Replace(shopConfig, "application: shop", "application: store", 1))
		s.sh("systemctl restart rollbridge.socket")
		s.answers("v1")
		s.await("systemctl is-active rollbridge.service")
		s.contains("rollbridge status", s.sh("rollbridge status --text"), `remembers application "shop", not "store"`)
		if out, err := s.try("rollbridge deploy --release-path /srv/shop/releases/v2 --release-id v2"); err == nil || !strings.Contains(out, "set `application: shop` again") {
			s.t.Errorf("a deploy: %v, %s", err, out)
		}
	})
}
