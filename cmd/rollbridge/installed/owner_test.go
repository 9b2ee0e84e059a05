package installed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// passive is an application whose web process serves nothing, and tells where
// somebody else can do it in its place.
const passive = `
application: passive
user: app
proxy: {port: 8182, healthPath: /}
processes:
  - id: web
    policy: proxied
    command: (echo $ROLLBRIDGE_PORT; sed -n 's/^0:://p' /proc/self/cgroup) >/home/app/new; mv /home/app/new /home/app/place; exec sleep infinity
    port: {from: 18000, to: 18099}
`

// stranger serves on that port. With arguments it moves into the scope of the
// web process once it listens, and is executed anew by these words: the listener
// is handed over.
const stranger = `
use IO::Socket::INET;
$^F = 100;
sub place { open my $f, "<", "/home/app/place" or return; chomp(my @lines = <$f>); @lines }
select undef, undef, undef, 0.02 until ($port, $cgroup) = place;
$l = IO::Socket::INET->new(Listen => 9, LocalAddr => "127.0.0.1", LocalPort => $port, ReuseAddr => 1) or die $!;
if (@ARGV) {
	open my $procs, ">", "/sys/fs/cgroup$cgroup/cgroup.procs" or die $!;
	syswrite $procs, $$ or die $!;
}
exec @ARGV, "perl", "-e", 'open $l, "+<&=", shift; while (accept $c, $l) { 1 while sysread($c, $_, 1000) && !/\r\n\r\n$/; syswrite $c, "HTTP/1.0 200 OK\r\n\r\nok\n"; close $c }', fileno $l;
`

// A listener that is not the web process's own fails the gate, whoever has made
// it; one of which that cannot be found out is warned of.
func TestTheListenerIsTheWebProcesssOwn(t *testing.T) {
	const isForeign, isUnclear = "is served by another process, not by this release", "it could not be made sure that the listener on port"
	each(t, func(t *testing.T, h *host) {
		must(t, os.WriteFile(filepath.Join(h.Share(), "stranger"), []byte(stranger), 0o644))
		h.sh(t, "mkdir /srv/passive")
		for _, sandbox := range []string{"", strict} {
			h.write(t, map[string]string{"rollbridge": passive})
			h.sh(t, sandbox+"\nsystemctl restart rollbridge.service")
			for _, test := range []struct{ who, settings, words, want string }{
				{"root", "", "", isForeign},
				{"a process of the same user", "--property=User=app", "", isForeign},
				{"one that is a part of it now", "", "setpriv --reuid=app --regid=app --clear-groups", ""},
				{"one that is a part of it now and more powerful than the daemon", "", "env", isUnclear},
			} {
				h.sh(t, "rm -f /home/app/place; systemd-run --quiet --collect --unit=stranger "+test.settings+" perl /share/stranger "+test.words)
				said, err := h.try("rollbridge deploy --release-path /srv/passive --json 2>&1")
				if failed := err != nil; failed != (test.want == isForeign) || !strings.Contains(said, test.want) || test.want == "" && strings.Contains(said, "warnings") {
					t.Errorf("%q: %s listens: %v\n%s", sandbox, test.who, err, said)
				}
				h.sh(t, "systemctl stop stranger.service 2>&1 || :")
			}
			deploysSilently(t, h, "/programs/minimal")
		}
	})
}

// A web process with a capability of its own, which nobody may look into, is known
// by the cgroup that its socket was made in.
func TestTheListenerOfAPowerfulProgramIsKnown(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, "cp /programs/minimal /share/app; chmod 755 /share/app; mkdir /srv/passive")
		empower(t, filepath.Join(h.Share(), "app"), unix.CAP_NET_BIND_SERVICE)
		deploysSilently(t, h, "/share/app")
	})
}

// deploysSilently deploys a web process that itself serves, and wants no warnings.
func deploysSilently(t *testing.T, h *host, program string) {
	t.Helper()
	h.write(t, map[string]string{"rollbridge": strings.Replace(passive, "exec sleep infinity", "exec "+program, 1)})
	if got := h.sh(t, "systemctl start rollbridge.socket; rollbridge deploy --release-path /srv/passive --json"); !strings.Contains(got, `"success"`) || strings.Contains(got, "warnings") {
		t.Errorf("the deploy says\n%s", got)
	}
}
