package packaged

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollbridge/cmd/rollbridge-load/load"
	"rollbridge/supervisor"
	"rollbridge/supervisor/systemd/systemdtest"
)

// patience bounds the wait for anything.
const patience = time.Minute

// build makes, once for all tests, what a host is given: two versions of the
// package, the shop and the load generator.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rollbridge-packaged-")
	if err != nil {
		return "", err
	}
	built = dir
	for name, version := range map[string]string{"old": "", "new": "99.0"} {
		cmd := exec.Command("../../../packaging/deb/build", filepath.Join(dir, name), "-b")
		cmd.Env = os.Environ()
		if version != "" {
			cmd.Env = append(cmd.Env, "DEB_VERSION="+version)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the package: %w\n%s", err, out)
		}
		found, err := filepath.Glob(filepath.Join(dir, name, "*.deb"))
		if err != nil || len(found) != 1 {
			return "", fmt.Errorf("build the package: %d packages were made: %v", len(found), err)
		}
		if err := os.Rename(found[0], filepath.Join(dir, "rollbridge_"+name+".deb")); err != nil {
			return "", err
		}
	}
	for name, args := range map[string][]string{
		"shop":            {"rollbridge/examples/shop"},
		"rollbridge-load": {"rollbridge/cmd/rollbridge-load"},
		"hanging":         {"-tags", "hang", "rollbridge/cmd/rollbridge"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-o", filepath.Join(dir, name)}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

// built is where build has built, if a test has needed it.
var built string

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "6") // tests that run beside one another mostly wait
	code := m.Run()
	os.RemoveAll(built)
	os.Exit(code)
}

// A server is a host as an administrator has it.
type server struct {
	*systemdtest.Host
	t *testing.T
}

// each runs a test on a server of each version, whose /built holds what was built.
func each(t *testing.T, test func(*server)) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range systemdtest.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(&server{systemdtest.Start(t, version, dir+":/built"), t})
		})
	}
}

// try runs a script as root, as from a login.
func (s *server) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	out, err := s.Command(ctx, "sh", "-e", "-c", script).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// sh runs a script of which every command must succeed.
func (s *server) sh(script string) string {
	s.t.Helper()
	out, err := s.try(script)
	if err != nil {
		s.t.Fatalf("%v:\n%s\n%s", err, script, out)
	}
	return out
}

// await repeats a script until it succeeds.
func (s *server) await(script string) string {
	s.t.Helper()
	var out string
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, err = s.try(script); err == nil {
			return out
		}
	}
	s.t.Fatalf("still after %s, %v:\n%s\n%s", patience, err, script, out)
	return ""
}

// equal fails the test when a value is not the expected one.
func (s *server) equal(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// contains fails the test when a text lacks a part.
func (s *server) contains(what, text string, parts ...string) {
	s.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			s.t.Errorf("%s: no %q in:\n%s", what, part, text)
		}
	}
}

const install = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --allow-downgrades /built/rollbridge_%s.deb"

// install installs the old or the new package.
func (s *server) install(which string) string {
	s.t.Helper()
	return s.sh(fmt.Sprintf(install, which))
}

const shopConfig = `
application: shop
user: app
restartGraceMs: 3000
proxy: {port: 8182, healthPath: /ping, drainTimeoutMs: 5000}
processes:
  - {id: broker, policy: service, command: exec ./shop broker, port: {from: 18100, to: 18199}}
  - {id: web, policy: proxied, command: exec ./shop web, port: {from: 18000, to: 18099}, health: {path: /ping, intervalMs: 50}}
  - {id: worker, command: exec ./shop worker, gracefulStopMs: 2000}
  - {id: scheduler, policy: singleton, command: exec ./shop scheduler, env: {SHOP_STATE_DIR: /srv/shop/state}}
`

// configure writes the configuration of the default instance and releases v1 and
// v2 of the shop.
func (s *server) configure() {
	s.t.Helper()
	s.write("/etc/rollbridge/rollbridge.yaml", shopConfig)
	s.sh(`
for release in v1 v2; do
  install -D -m 755 /built/shop /srv/shop/releases/$release/shop
  echo $release > /srv/shop/releases/$release/VERSION
done
install -d -o app /srv/shop/state
systemctl daemon-reload
systemctl start rollbridge.socket`)
}

// write writes a file.
func (s *server) write(path, text string) {
	s.t.Helper()
	cmd := s.Command(s.t.Context(), "sh", "-c", `mkdir -p "$(dirname "$0")" && cat > "$0"`, path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("write %s: %v\n%s", path, err, out)
	}
}

func (s *server) deploy(release string) {
	s.t.Helper()
	s.sh("rollbridge deploy --release-path /srv/shop/releases/" + release + " --release-id " + release)
}

const ask = "curl -sS --fail-with-body --max-time 30 http://127.0.0.1:8182/release"

// answers asks for the release that answers.
func (s *server) answers(release string) {
	s.t.Helper()
	s.equal("the release that answers", s.sh(ask), release)
}

func (s *server) status() (st supervisor.StatusResult) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.sh("rollbridge status --json")), &st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// drained waits until a release is stopped.
func (s *server) drained(release string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, r := range s.status().Releases {
			if r.ReleaseID == release && r.State == "stopped" {
				return
			}
		}
	}
	s.t.Fatalf("%s is not stopped after %s", release, patience)
}

// pids are the processes of the shop, by their names.
func (s *server) pids() string {
	s.t.Helper()
	var all []string
	st := s.status()
	for _, r := range st.Releases {
		for _, p := range r.Processes {
			if r.State != "stopped" {
				all = append(all, fmt.Sprintf("%s@%s=%d", p.ID, r.ReleaseID, p.PID))
			}
		}
	}
	for _, owned := range append(st.Services, st.Singletons...) {
		all = append(all, fmt.Sprintf("%s=%d", owned.ID, owned.Process.PID))
	}
	return strings.Join(all, " ")
}

// daemonPID is the process of the daemon, 0 when there is none.
func (s *server) daemonPID() string {
	s.t.Helper()
	return s.sh("systemctl show -P MainPID rollbridge.service")
}

// awaitDaemon waits for a daemon that is ready and another process than that.
func (s *server) awaitDaemon(but string) {
	s.t.Helper()
	s.await(`test "$(systemctl show -P MainPID rollbridge.service)" != ` + but + ` && systemctl is-active rollbridge.service`)
}

// underLoad is what clients notice while something is done.
func (s *server) underLoad(do func()) {
	s.t.Helper()
	cmd := s.Command(s.t.Context(), "/built/rollbridge-load", "-json", "-clients", "6", "-rate", "150", "-time", "5m", "-timeout", "30s")
	var report, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &report, &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	do()
	io.WriteString(in, "stop\n")
	<-ended
	var r load.Report
	if err := json.Unmarshal(report.Bytes(), &r); err != nil {
		s.t.Fatalf("the load's report: %v\n%s%s", err, &report, &errs)
	}
	s.t.Logf("%d requests, %d failed", r.Requests, r.Failed)
	if r.Failed > 0 || r.Requests < 100 {
		s.t.Errorf("under load: %d of %d requests failed\n%s", r.Failed, r.Requests, &report)
	}
}
