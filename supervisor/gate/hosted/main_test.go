package hosted

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd/systemdtest"
)

// TestMain builds the program for the host, which has no compiler.
func TestMain(m *testing.M) {
	if !systemdtest.Inside() {
		build := exec.Command("go", "build", "-o", program(), "rollbridge/cmd/rollbridge")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build rollbridge: %v\n%s", err, out)
			os.Exit(1)
		}
	}
	systemdtest.Main(m)
}

// program is the path of rollbridge, beside this binary.
func program() string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return filepath.Join(filepath.Dir(self), "rollbridge-to-test")
}

// unit is a transient unit behind a gate.
type unit struct {
	*testing.T
	def   gate.Definition
	gates gate.Dir
	share string // a directory that every user may write to
}

var units atomic.Int32

// newUnit prepares a unit; nothing runs before its start.
func newUnit(t *testing.T, spec config.Spec) *unit {
	t.Helper()
	n := units.Add(1)
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	spec.Application, spec.Process, spec.Instance, spec.Release, spec.Generation = "shop", "worker", "worker", "v42", 1
	u := &unit{T: t, gates: gate.Dir(filepath.Join(dir, "exec")), share: dir, def: gate.Definition{
		Version: gate.Version, ID: fmt.Sprintf("id%d", n), Unit: fmt.Sprintf("rollbridge-shop.worker%d.v42.service", n),
		Spec: spec, Daemon: []string{"PATH=/usr/bin:/bin", "SHARE=" + dir}, Want: gate.Run, Start: gate.Token{Serial: 1, Reason: "deploy"},
	}}
	u.write(func(*gate.Definition) {})
	t.Cleanup(func() {
		_ = exec.Command("systemctl", "stop", u.def.Unit).Run()
		_ = exec.Command("systemctl", "reset-failed", u.def.Unit).Run()
	})
	return u
}

// write changes the definition.
func (u *unit) write(change func(*gate.Definition)) {
	u.Helper()
	change(&u.def)
	if err := u.gates.Write(u.def); err != nil {
		u.Fatal(err)
	}
}

// start starts the unit, and returns when its start job has ended.
func (u *unit) start(settings ...string) error {
	out, err := exec.Command("systemd-run", u.arguments(settings)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// arguments are those of systemd-run.
func (u *unit) arguments(settings []string) []string {
	args := []string{"--quiet", "--unit=" + u.def.Unit, "--setenv=ROLLBRIDGE_GATES=" + string(u.gates)}
	for _, s := range append([]string{
		"Type=notify", "NotifyAccess=main", "TimeoutStartSec=infinity", "Restart=always", "RestartSec=0", "StartLimitIntervalSec=0",
		"RestartPreventExitStatus=SIGRTMAX-2",
		"KillMode=control-group", "ExecStopPost=" + program() + " exec --ended " + u.def.ID, "LogRateLimitIntervalSec=0",
	}, settings...) {
		args = append(args, "--property="+s)
	}
	return append(args, program(), "exec", u.def.ID)
}

func (u *unit) mustStart(settings ...string) {
	u.Helper()
	if err := u.start(settings...); err != nil {
		u.Fatal(err)
	}
}

// systemctl runs a command on the unit.
func (u *unit) systemctl(args ...string) string {
	u.Helper()
	out, err := exec.Command("systemctl", append(args, u.def.Unit)...).CombinedOutput()
	if err != nil {
		u.Fatalf("systemctl %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// show is some properties, as "A=1 B=2".
func (u *unit) show(properties ...string) string {
	u.Helper()
	values := map[string]string{}
	for line := range strings.Lines(u.systemctl("show", "--property="+strings.Join(properties, ","))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	for i, name := range properties {
		properties[i] = name + "=" + values[name]
	}
	return strings.Join(properties, " ")
}

// await waits until something is so, as long as there are new records.
func (u *unit) await(what string, is func() bool) {
	u.Helper()
	newest := u.last().Seq
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if seq := u.last().Seq; seq > newest {
			newest, deadline = seq, time.Now().Add(time.Minute)
		}
		if time.Now().After(deadline) {
			u.Fatalf("%s: not after a minute; %s; %s", what, u.happened(), u.show("ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus"))
		}
	}
}

// awaitKind waits for a kind of record to be the last one.
func (u *unit) awaitKind(kind gate.Kind) gate.Record {
	u.Helper()
	u.await("record "+string(kind), func() bool { return u.last().Kind == kind })
	return u.last()
}

func (u *unit) records() []gate.Record {
	u.Helper()
	records, err := u.gates.Records(u.def.ID, 0)
	if err != nil {
		u.Fatal(err)
	}
	return records
}

func (u *unit) last() gate.Record {
	if records := u.records(); len(records) > 0 {
		return records[len(records)-1]
	}
	return gate.Record{}
}

func (u *unit) happened() string {
	var kinds []string
	for _, r := range u.records() {
		kinds = append(kinds, string(r.Kind))
	}
	if len(kinds) > 10 {
		kinds = append([]string{"…"}, kinds[len(kinds)-10:]...)
	}
	return strings.Join(kinds, ", ")
}

// read is what a command has written to a file of the shared directory.
func (u *unit) read(name string) string {
	u.Helper()
	text, err := os.ReadFile(filepath.Join(u.share, name))
	if err != nil {
		u.Fatal(err)
	}
	return string(text)
}

// line is what the journal says about a line of output.
type line struct{ Message, Identifier, Unit, Priority string }

// journal is the lines of a unit from its commands, when there are so many.
func journal(t *testing.T, unit, identifier string, n int) []line {
	t.Helper()
	_ = exec.Command("journalctl", "--sync").Run()
	var lines []line
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		lines = nil
		out, err := exec.Command("journalctl", "--output=json", "_SYSTEMD_UNIT="+unit, "SYSLOG_IDENTIFIER="+identifier).Output()
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(out)) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(text), &entry); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line{
				fmt.Sprint(entry["MESSAGE"]), fmt.Sprint(entry["SYSLOG_IDENTIFIER"]), fmt.Sprint(entry["_SYSTEMD_UNIT"]), fmt.Sprint(entry["PRIORITY"]),
			})
		}
		if len(lines) >= n || time.Now().After(deadline) {
			return lines
		}
	}
}
