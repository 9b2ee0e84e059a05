package journaltest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor"
	"rollbridge/supervisor/systemd"
)

// daemon is rollbridge as a unit, with the direct runner: its log is in the
// journal, the output of processes is not.
type daemon struct {
	t         *testing.T
	app, dir  string
	unit      string
	noStarted int // how often it was started
}

func newDaemon(t *testing.T) *daemon {
	d := &daemon{t: t, app: application(t), dir: t.TempDir()}
	d.unit = "daemon-" + d.app + ".service"
	config := "application: " + d.app + `
user: root
control: {path: control.sock}
proxy: {port: 0}
processes:
  - {id: web, policy: proxied, command: "echo secret output; exit 3", port: 0}
`
	if err := os.WriteFile(filepath.Join(d.dir, "rollbridge.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("systemctl", "stop", d.unit).Run() })
	return d
}

// start starts the daemon and waits until it says that it is ready.
func (d *daemon) start() {
	d.t.Helper()
	command(d.t, "systemd-run", "--quiet", "--collect", "--unit="+d.unit, "--working-directory="+d.dir, program, "daemon", "--runner", "direct")
	d.noStarted++
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	ready := errors.New("ready")
	seen := 0
	archive := supervisor.NewJournalArchive(systemd.OpenJournal(), d.app)
	err := archive.FollowEvents(ctx, 0, time.Time{}, func(e supervisor.Event) error {
		if e.Message == "daemon started" {
			seen++
		}
		if seen == d.noStarted {
			return ready
		}
		return nil
	})
	if err != ready {
		d.t.Fatalf("the daemon does not say that it is ready: %v", err)
	}
}

func (d *daemon) stop() { command(d.t, "systemctl", "stop", d.unit) }

// cli runs a command of rollbridge as the systemd runner's user would.
func (d *daemon) cli(args ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = d.dir
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			d.t.Fatal(err)
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// events is the messages that rollbridge events shows.
func (d *daemon) events(args ...string) []string {
	d.t.Helper()
	out, errs, code := d.cli(append([]string{"events", "--json"}, args...)...)
	var events []supervisor.Event
	if err := json.Unmarshal([]byte(out), &events); err != nil || code != 0 {
		d.t.Fatalf("exit code %d, %v: %s%s", code, err, out, errs)
	}
	var all []string
	for _, e := range events {
		all = append(all, e.Message)
	}
	return all
}

func TestEventsOutliveTheDaemon(t *testing.T) {
	d := newDaemon(t)
	if _, errs, code := d.cli("events"); code != 3 || !strings.HasPrefix(errs, "error: no daemon is running") {
		t.Errorf("before the first daemon: exit code %d, %s", code, errs)
	}
	d.start()
	if _, errs, code := d.cli("deploy", "--release-path", d.dir, "--release-id", "v1"); code != 1 || !strings.Contains(errs, "secret output") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	first := d.events()
	if !slices.Contains(first, "deploy failed") || first[len(first)-1] != "command failed" {
		t.Errorf("events %q", first)
	}
	d.stop()

	past := d.events()
	equal(t, "events without a daemon", past[:len(first)], first)
	if last := past[len(past)-1]; last != "shutdown complete" {
		t.Errorf("the last event is %q", last)
	}
	if _, errs, _ := d.cli("events"); errs != "note: no daemon is running; this is what the journal has\n" {
		t.Errorf("it is not said where they come from: %q", errs)
	}
	if out, errs, code := d.cli("logs"); code != 3 {
		t.Errorf("logs of processes that never wrote to the journal: exit code %d, %s%s", code, out, errs)
	}

	d.start()
	equal(t, "events of both daemons", d.events()[:len(past)], past)
	equal(t, "the newest two", d.events("--limit", "2"), []string{"control socket listening", "daemon started"})
	if n := len(d.events("--since", "1h")); n != len(past)+3 {
		t.Errorf("%d events since an hour, want %d", n, len(past)+3)
	}
	if text := command(t, "journalctl", "--output=export", "--unit="+d.unit); strings.Contains(text, "secret") {
		t.Error("the journal of the daemon has output of a process")
	}
}

func TestLogsWithoutADaemonComeFromTheJournal(t *testing.T) {
	d := newDaemon(t)
	write(t, stream(t, d.app+".web@v1", 6), "of v1\n")
	web := stream(t, d.app+".web@v2", 6)
	write(t, web, "of v2\n")
	write(t, stream(t, d.app+".worker#1@v1+2", 3), "oops\n")
	command(t, "journalctl", "--sync")
	shown := func(args ...string) string {
		t.Helper()
		out, errs, code := d.cli(append([]string{"logs"}, args...)...)
		if code != 0 || errs != "note: no daemon is running; this is what the journal has\n" {
			t.Errorf("logs %q: exit code %d, %s", args, code, errs)
		}
		var lines []string
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 1 && strings.HasSuffix(fields[0], "Z") {
				line = strings.Join(fields[1:], " ")
			}
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, " | ")
	}
	const v1, v2, worker = "== web [release v1] == | [stdout] of v1", "== web [release v2] == | [stdout] of v2",
		"== worker#1 [release v1, generation 2] == | [stderr] oops"
	for want, args := range map[string][]string{
		v2 + " | " + worker:              {},
		v2:                               {"--process", "web"},
		v1:                               {"--process", "web", "--release", "v1"},
		worker:                           {"--process", "worker"},
		v1 + " | " + v2 + " | " + worker: {"--since", "1h"},
	} {
		if got := shown(args...); got != want {
			t.Errorf("%q: %s\nwant %s", args, got, want)
		}
	}
	if _, _, code := d.cli("logs", "--process", "nobody"); code != 3 {
		t.Errorf("exit code %d", code)
	}

	follow := exec.Command(program, "logs", "--follow", "--process", "web", "--release", "v2", "--json")
	follow.Dir = d.dir
	pipe, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	defer follow.Wait()
	defer follow.Process.Kill()
	time.AfterFunc(patience, func() { follow.Process.Kill() })
	lines := bufio.NewScanner(pipe)
	for _, want := range []string{"of v2", "later"} {
		var line supervisor.LogLine
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil || line.Line != want || line.ID != "web" || line.Source != "release v2" {
			t.Errorf("%s, want %s", lines.Text(), want)
		}
		write(t, web, "later\n")
	}
}
