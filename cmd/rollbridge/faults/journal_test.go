package faults

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// line is one that a process wrote, as the journal or `rollbridge logs` has it.
type line struct{ identifier, priority, text string }

// journal is the lines of the processes of this instance, oldest first, with
// what else the journal says of each.
func (in *instance) journal() (lines []line, entries []map[string]any) {
	in.t.Helper()
	command(in.t, "journalctl", "--sync")
	out := command(in.t, "journalctl", "-o", "json", "-u", "rollbridge-"+in.name+".*")
	for text := range strings.Lines(out) {
		var e map[string]any
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			in.t.Fatal(err)
		}
		if e["_TRANSPORT"] == "stdout" {
			lines = append(lines, line{fmt.Sprint(e["SYSLOG_IDENTIFIER"]), fmt.Sprint(e["PRIORITY"]), fmt.Sprint(e["MESSAGE"])})
			entries = append(entries, e)
		}
	}
	return lines, entries
}

// logs is what `rollbridge logs` shows of a process.
func (in *instance) logs(id string) []string {
	in.t.Helper()
	var processes []struct{ Logs []struct{ Line string } }
	if err := json.Unmarshal([]byte(in.must("logs", "--process", id, "--json")), &processes); err != nil {
		in.t.Fatal(err)
	}
	var lines []string
	for _, p := range processes {
		for _, l := range p.Logs {
			lines = append(lines, l.Line)
		}
	}
	return lines
}

// numbered checks that lines are "line 0", "line 1", … without a gap. Others may
// stand between them.
func (in *instance) numbered(lines []string, n int) {
	in.t.Helper()
	lines = slices.DeleteFunc(lines, func(text string) bool { return !strings.HasPrefix(text, "line ") })
	for i := range n {
		if want := fmt.Sprint("line ", i); i >= len(lines) || lines[i] != want {
			in.t.Fatalf("line %d of %d is not %q: %v", i, len(lines), want, lines)
		}
	}
}

func TestOutputIsInTheJournal(t *testing.T) {
	t.Parallel()
	in := start(t, "journal", web+`
  - {id: worker, command: "echo worker says out; echo worker says err >&2; exec sleep infinity", restartDelayMs: 20}
  - {id: sched, policy: singleton, command: "echo sched says out; echo sched says err >&2; exec sleep infinity"}
  - {id: queue, policy: service, command: "echo queue says out; echo queue says err >&2; exec sleep infinity"}
  - {id: broker, policy: service, deployStrategy: handoff, port: $PORTS, command: "echo broker says out; echo broker says err >&2; exec sleep infinity"}
  - {id: many, replicas: 2, command: "echo many says out; echo many says err >&2; exec sleep infinity"}`)
	in.deploy("v1")
	in.deploy("v2")
	ids := map[string][]string{"web": {"v1", "v2"}, "worker": {"v1", "v2"}, "sched": {"v1", "v2"}, "queue": {"v1"}, "broker": {"v1", "v2"},
		"many#0": {"v1", "v2"}, "many#1": {"v1", "v2"}}
	in.eventually("the last line is there", func() bool { return len(in.logs("sched")) >= 2 })
	// The newest lines, for there are those of other tests too.
	if text := command(t, "journalctl", "-u", "rollbridge-*", "-n", "1000"); !strings.Contains(text, in.name+".web@v2") {
		t.Error("journalctl -u 'rollbridge-*' shows no lines of the web process")
	}

	lines, entries := in.journal()
	wanted := 0
	for id, releases := range ids {
		name, _, _ := strings.Cut(id, "#")
		for _, release := range releases {
			identifier := in.name + "." + id + "@" + release
			for _, want := range []line{{identifier, "6", name + " says out"}, {identifier, "3", name + " says err"}} {
				wanted++
				if n := count(lines, want); n != 1 {
					t.Errorf("%+v is there %d times", want, n)
				}
			}
		}
		logs := in.logs(id)
		for _, want := range []string{name + " says out", name + " says err"} {
			if !slices.Contains(logs, want) {
				t.Errorf("rollbridge logs has %v of %s; want %q", logs, id, want)
			}
		}
	}
	if len(lines) != wanted {
		t.Errorf("%d lines, not %d: %v", len(lines), wanted, lines)
	}
	for _, e := range entries {
		in.hasItsFields(e)
	}
}

// hasItsFields checks what systemd adds to the lines of a service unit. That of a
// persistent service outlives releases: theirs is in the identifier alone.
func (in *instance) hasItsFields(e map[string]any) {
	in.t.Helper()
	if !strings.HasSuffix(fmt.Sprint(e["_SYSTEMD_UNIT"]), ".service") {
		return
	}
	identifier := fmt.Sprint(e["ROLLBRIDGE_APPLICATION"], ".", e["ROLLBRIDGE_PROCESS"], "@", e["ROLLBRIDGE_RELEASE"])
	if e["ROLLBRIDGE_PROCESS"] == "queue" {
		identifier = fmt.Sprint(e["ROLLBRIDGE_APPLICATION"], ".queue@v1")
	}
	if e["SYSLOG_IDENTIFIER"] != identifier {
		in.t.Errorf("%v does not match %s: %v", e["SYSLOG_IDENTIFIER"], identifier, e)
	}
}

func count(lines []line, wanted line) int {
	n := 0
	for _, l := range lines {
		if l == wanted {
			n++
		}
	}
	return n
}

func TestLinesOfShortLivedChildrenAreThere(t *testing.T) {
	t.Parallel()
	in := start(t, "short", `
  - id: web
    policy: proxied
    port: $PORTS
    command: "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do sh -c \"echo line $i\"; done; exec $APP web"
  - id: worker
    command: "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do sh -c \"echo line $i\"; done; exec $APP worker"`)
	in.deploy("v1")
	in.awaitEntries(1, "start", "worker")
	for _, id := range []string{"web", "worker"} {
		in.eventually("the last line is there", func() bool { return slices.Contains(in.logs(id), "line 19") })
		in.numbered(in.logs(id), 20)
		var lines []string
		all, _ := in.journal()
		for _, l := range all {
			if l.identifier == "short."+id+"@v1" {
				lines = append(lines, l.text)
			}
		}
		in.numbered(lines, 20)
	}
}

func TestLastWordsAreInTheFailure(t *testing.T) {
	t.Parallel()
	in := start(t, "last", `
  - {id: web, policy: proxied, port: $PORTS, command: "echo cannot load the shop >&2; exit 7"}`)
	if r := in.tryDeploy("v1"); r.code != 1 || !strings.Contains(r.stderr, "cannot load the shop") || !strings.Contains(r.stderr, "status 7") {
		t.Errorf("the deploy says %+v", r)
	}
}
