package faults

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// systemdsWords are the numbers and names by which systemd tells of starts that
// failed before the command.
var systemdsWords = regexp.MustCompile(`status[= ]*2\d\d|\b(200|203|217)\b|CHDIR|/EXEC|/USER|job failed`)

func TestFailedStartsAreToldInWords(t *testing.T) {
	t.Parallel()
	const worker = `
  - {id: worker, command: "exec $APP worker"}`
	in := start(t, "words", web+worker)
	in.deploy("v1")
	in.write(in.path("file"), "")
	if err := os.Mkdir(in.path("private"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ setting, says string }{
		{"cwd: $DIR/nowhere", in.path("nowhere")},
		{"cwd: $DIR/file", in.path("file")},
		{"cwd: $DIR/private", in.path("private")},
		{"envFile: $DIR/none.env", in.path("none.env")},
		{"user: nosuch", "nosuch"},
		{"group: nosuch", "nosuch"},
	} {
		for _, id := range []string{"worker", "web"} {
			in.configure(strings.Replace(web+worker, "{id: "+id+",", "{id: "+id+", "+test.setting+",", 1))
			r := in.tryDeploy("v2")
			if r.code != 1 || !strings.Contains(r.stderr, test.says) {
				t.Errorf("%s with %s: %+v; want %s named", id, test.setting, r, test.says)
			}
			if found := systemdsWords.FindString(r.stderr); found != "" {
				t.Errorf("%s with %s speaks systemd (%q): %s", id, test.setting, found, r.stderr)
			}
			in.serves("v1")
		}
	}
	in.configure(web + worker)
	in.deploy("v2")
}

func TestProgramsThatDoNotExistAreNamed(t *testing.T) {
	t.Parallel()
	in := start(t, "noexec", strings.Replace(web, "exec $APP web", "exec ./missing", 1))
	r := in.tryDeploy("v1")
	if r.code != 1 || !strings.Contains(r.stderr, "127") || !strings.Contains(r.stderr, "./missing") {
		t.Errorf("the deploy says %+v", r)
	}
}

func TestReleaseDirectoryMayVanishAndComeBack(t *testing.T) {
	t.Parallel()
	in := start(t, "vanish", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 100}
  - {id: queue, policy: service, command: "exec $APP worker", restartDelayMs: 100, restart: {maxRestarts: 3}}`)
	in.deploy("v1")
	away := in.path("away")
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	dir := in.path("releases/v1")
	move(dir, away)
	ids := []string{"worker", "web", "queue"}
	for _, id := range ids {
		in.shoot(in.process(id).PID)
	}
	for _, id := range ids {
		p := in.awaitProcess(id, "cannot be started", func(p process) bool { return p.LastError != "" && p.Restarts >= 2 })
		if !strings.Contains(p.LastError, dir) || systemdsWords.MatchString(p.LastError) {
			t.Errorf("%s: %q", id, p.LastError)
		}
		events := in.awaitEvents(2, "process restart failed", id)
		if text, _ := events[0].Data["error"].(string); !strings.Contains(text, dir) || systemdsWords.MatchString(text) {
			t.Errorf("%s: event %v", id, events[0])
		}
	}
	in.awaitProcess("queue", "gave up", func(p process) bool { return p.State == "failed" && p.GaveUp && p.Restarts == 3 })
	in.killDaemon() // it is all the same to the next one
	move(away, dir)
	for _, id := range []string{"worker", "web"} {
		if p := in.awaitNew(id, 0); p.LastError != "" {
			t.Errorf("%s: %+v", id, p)
		}
	}
	in.eventually("requests are served", func() bool { code, body, _ := in.ask("/release"); return code == 200 && body == "v1" })
	in.must("restart", "--process", "queue")
	in.awaitNew("queue", 0)
}
