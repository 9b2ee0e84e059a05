package installed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"rollbridge/supervisor/systemd/systemdtest"
)

// install installs what the package does.
const install = `
groupadd --system rollbridge
install -m 644 /packaging/rollbridge*.s* /usr/lib/systemd/system/
install -D -m 755 /programs/rollbridge-generator /usr/libexec/rollbridge/rollbridge-generator
mkdir -p /usr/lib/systemd/system-generators /etc/rollbridge
ln -s /usr/libexec/rollbridge/rollbridge-generator /usr/lib/systemd/system-generators/
install -m 755 /programs/rollbridge /usr/bin/rollbridge
systemctl daemon-reload
systemctl enable --quiet rollbridge.socket rollbridge-control.socket rollbridge.service
`

// standIn puts a program in the place of rollbridge that is never anything but
// ready, where only what systemd does is of interest.
const standIn = `
cat >/usr/bin/rollbridge <<'END'
#!/usr/bin/perl
use IO::Socket::UNIX;
sub notify { IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET})->send(@_) }
notify "READY=1";
notify "WATCHDOG=1" while sleep 3;
END
`

// each runs a test on hosts with what the package installs.
func each(t *testing.T, f func(t *testing.T, h *host)) {
	packaging, err := filepath.Abs("../../../packaging/systemd")
	must(t, err)
	programs, err := programs()
	must(t, err)
	for _, version := range systemdtest.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			h := &host{systemdtest.Start(t, version, packaging+":/packaging", programs+":/programs")}
			h.sh(t, install)
			f(t, h)
		})
	}
}

var programsDir string // "" until it is made

// programs is a directory with what is tested, built once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "programs")
	programsDir = dir
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the application's user starts programs from it
		return dir, err
	}
	cmd := exec.Command("go", "build", "-o", dir, "rollbridge/cmd/rollbridge", "rollbridge/cmd/rollbridge-generator", "rollbridge/examples/minimal")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w\n%s", err, out)
	}
	if other := os.Getenv("ROLLBRIDGE_BIN"); other != "" {
		return dir, exec.Command("cp", other, filepath.Join(dir, "rollbridge")).Run()
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(programsDir)
	os.Exit(code)
}

type host struct{ *systemdtest.Host }

// sh runs a script, of which every command must succeed.
func (h *host) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := h.try(script)
	if err != nil {
		t.Fatalf("%v:\n%s\n%s", err, script, out)
	}
	return out
}

func (h *host) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := h.Command(ctx, "sh", "-e", "-c", script).CombinedOutput()
	return string(out), err
}

// write writes configurations and has systemd read them.
func (h *host) write(t *testing.T, configs map[string]string) {
	t.Helper()
	for name, text := range configs {
		must(t, os.WriteFile(filepath.Join(h.Share(), name+".yaml"), []byte(text), 0o644))
		h.sh(t, "cp /share/"+name+".yaml /etc/rollbridge/")
	}
	h.sh(t, "systemctl daemon-reload")
}

// shows wants lines in what systemctl show says of a unit.
func (h *host) shows(t *testing.T, unit string, lines ...string) {
	t.Helper()
	said := h.sh(t, "systemctl show "+unit)
	for _, line := range lines {
		if !strings.Contains("\n"+said, "\n"+line+"\n") {
			key, _, _ := strings.Cut(line, "=")
			t.Errorf("%s has not %q but %q", unit, line, regexp.MustCompile(`(?m)^`+key+`=.*$`).FindAllString(said, -1))
		}
	}
}

// connects reports whether somebody listens at a port; host is an address as
// bash takes it.
func (h *host) connects(address string) bool {
	_, err := h.try("exec bash -c ': </dev/tcp/" + address + "'")
	return err == nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
