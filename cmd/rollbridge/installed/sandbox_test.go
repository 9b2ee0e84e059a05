package installed

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shop is an application that looks around before it serves.
const shop = `
application: shop
user: app
proxy: {port: 8182, healthPath: /}
processes:
  - id: web
    policy: proxied
    command: sh /srv/look web; exec ./app
    port: {from: 18000, to: 18099}
    lifecycle: {quietCommand: id -un >/home/app/quiet-web}
  - id: worker
    command: sh /srv/look worker; exec sleep infinity
    lifecycle: {quietCommand: id -un >/home/app/quiet-worker}
  - id: eater
    command: exec perl -e '$x = "x" x 80_000_000; sleep 1000'
    memory: {limitBytes: 50000000, checkIntervalMs: 200}
`

// look notes what a process may do. The programs set-uid and raw are made by
// powers.
const look = `
exec >/home/app/$1 2>&1
echo user $(id -un)
sed -n 's/^CapBnd:\t0*/bounding set /p; s/^NoNewPrivs:\t/no new privileges /p' /proc/self/status
echo soft limit $(ulimit -Sn)
echo umask $(umask)
echo set-uid is user $(/usr/local/bin/set-uid -u)
echo raw sockets $(/usr/local/bin/raw /proc/self/status 2>&1 | sed -n 's/^CapEff:\t0*//p; s/.*not permitted/not permitted/p')
echo netlink $(perl -e 'print socket(S, 16, 3, 0) ? "yes" : "no"')
echo namespaces $(unshare --user true 2>/dev/null && echo yes || echo no)
echo usr is $(test -w /usr/local/open && echo writable || echo read-only)
echo shared tmp $(cat /tmp/of-the-host)
`

// powers makes programs that give whoever starts them more than they had.
func powers(t *testing.T, h *host) {
	h.sh(t, `install -m 4755 /usr/bin/id /usr/local/bin/set-uid; install -d -m 777 /usr/local/open; echo yes >/tmp/of-the-host
cat /usr/bin/cat >/share/raw; chmod 755 /share/raw; ln -s /share/raw /usr/local/bin/raw`)
	empower(t, filepath.Join(h.Share(), "raw"), unix.CAP_NET_RAW)
}

// empower makes whoever starts a program have a capability.
func empower(t *testing.T, program string, capability int) {
	const version2Effective = 0x02000001
	var value []byte
	for _, word := range []uint32{version2Effective, 1 << capability, 0, 0, 0} {
		value = binary.LittleEndian.AppendUint32(value, word)
	}
	must(t, unix.Setxattr(program, "security.capability", value, 0))
}

// strict installs the drop-in that makes the sandbox stricter.
const strict = "file=/etc/systemd/system/rollbridge.service.d/60-hardening.conf; install -D -m 644 /packaging/hardening.conf $file; systemctl daemon-reload"

// strictly is what a web process says then.
const strictly = `
user app
bounding set ee
no new privileges 1
soft limit 1024
umask 0027
set-uid is user 1000
raw sockets not permitted
netlink yes
namespaces yes
usr is read-only
shared tmp yes
`

// With the sandbox that the units have, and with the stricter one, everything
// works; and a web process can do what docs/systemd.md says.
func TestEverythingWorksInTheSandbox(t *testing.T) {
	for name, s := range map[string]struct {
		prepare  string
		exposure float64
		hooks    bool
		web      string // what the web process says
	}{
		"default": {"", 6.2, true, `
user app
bounding set a000a5ff
no new privileges 0
soft limit 1024
umask 0022
set-uid is user 0
raw sockets 2000
netlink yes
namespaces yes
usr is writable
shared tmp yes
`},
		"strict":        {strict, 3.7, true, strictly},
		"even stricter": {strict + "; sed -i 's/^#RestrictNamespaces/RestrictNamespaces/' $file; systemctl daemon-reload", 3.0, false, strings.Replace(strictly, "namespaces yes", "namespaces no", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *host) {
				powers(t, h)
				h.sh(t, s.prepare)
				works(t, h, s.hooks)
				if got := h.sh(t, "cat /home/app/web"); got != s.web[1:] {
					t.Errorf("the web process says\n%s\nwant\n%s", got, s.web[1:])
				}
				if got, want := h.sh(t, "cat /home/app/worker"), "no new privileges 0\n"; !strings.Contains(got, want) {
					t.Errorf("the worker, which has no sandbox, says\n%s", got)
				}
				if got := exposure(t, h); got != s.exposure {
					t.Errorf("systemd-analyze security says %.1f, docs/systemd.md %.1f", got, s.exposure)
				}
			})
		})
	}
}

// works deploys twice, restarts the daemon and moves its address.
func works(t *testing.T, h *host, hooks bool) {
	must(t, os.WriteFile(filepath.Join(h.Share(), "look"), []byte(look), 0o644))
	h.sh(t, "cp /share/look /srv/; for r in v1 v2; do install -D -m 755 /programs/minimal /srv/shop/$r/app; done")
	h.write(t, map[string]string{"rollbridge": shop})
	h.sh(t, "systemctl start rollbridge.socket")
	if got := h.sh(t, "rollbridge deploy --release-path /srv/shop/v1 --release-id v1 --text; curl -sS http://127.0.0.1:8182/"); !strings.HasSuffix(got, "hello from release v1\n") {
		t.Errorf("the first deploy says\n%s", got)
	}
	h.sh(t, "rollbridge deploy --release-path /srv/shop/v2 --release-id v2")
	if hooks {
		eventually(t, h, "the hooks of the first release run as its user", "cat /home/app/quiet-web /home/app/quiet-worker", "app\napp\n")
	}
	eventually(t, h, "memory is measured", "rollbridge events | grep -c 'memory limit exceeded' || :", "[1-9]")

	pids := "cat /sys/fs/cgroup/rollbridge.slice/rollbridge-shop.slice/rollbridge-shop.web.v2.1.scope/cgroup.procs; systemctl show --property=MainPID rollbridge-shop.worker.v2.service"
	before := h.sh(t, pids)
	for _, restart := range []string{
		"systemctl restart rollbridge.service; curl -sS http://127.0.0.1:8182/",
		"sed -i s/8182/8183/ /etc/rollbridge/rollbridge.yaml; systemctl daemon-reload; systemctl restart rollbridge.socket; curl -sS http://127.0.0.1:8183/",
	} {
		if got := h.sh(t, restart+"; rollbridge logs --process web >/dev/null"); got != "hello from release v2\n" {
			t.Errorf("after %s: %s", restart, got)
		}
		if after := h.sh(t, pids); after != before {
			t.Errorf("after %s processes are\n%s\nand were\n%s", restart, after, before)
		}
	}
}

// eventually waits until a script prints what a pattern matches.
func eventually(t *testing.T, h *host, what, script, pattern string) {
	t.Helper()
	var out string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ = h.try(script); regexp.MustCompile("^" + pattern).MatchString(out) {
			return
		}
	}
	t.Errorf("not so: %s: %s", what, out)
}

var overall = regexp.MustCompile(`Overall exposure level for rollbridge\.service: ([0-9.]+)`)

// exposure is systemd's mark for the service, from 10 down to 0.
func exposure(t *testing.T, h *host) float64 {
	t.Helper()
	said := h.sh(t, "systemd-analyze security --no-pager rollbridge.service")
	found := overall.FindStringSubmatch(said)
	if found == nil {
		t.Fatal(said)
	}
	f, err := strconv.ParseFloat(found[1], 64)
	must(t, err)
	return f
}
