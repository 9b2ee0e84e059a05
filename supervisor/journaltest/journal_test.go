package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollbridge/supervisor"
	"rollbridge/supervisor/runner"
	"rollbridge/supervisor/systemd"
)

// patience is how long something may take that takes an instant.
const patience = 20 * time.Second

// application is a name that no other test uses.
func application(t *testing.T) string {
	return "app" + strings.ToLower(t.Name())
}

// stream is an output stream as the gate opens it. What is written here is
// written by this test, which is root.
func stream(t *testing.T, identifier string, priority int) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", "/run/systemd/journal/stdout")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	write(t, conn, fmt.Sprintf("%s\nrollbridge-x.service\n%d\n0\n0\n0\n0\n", identifier, priority))
	return conn
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// lines are what the writers of an application have written, after a sync.
func lines(t *testing.T, application string, w runner.Window) []runner.Line {
	t.Helper()
	journal := systemd.OpenJournal()
	if err := journal.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	output := runner.NewJournal(journal)
	writers, err := output.Writers(t.Context(), application)
	if err != nil {
		t.Fatal(err)
	}
	all, err := output.Tail(t.Context(), writers, w)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func texts(lines []runner.Line) []string {
	all := []string{}
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q\nwant %q", what, got, want)
	}
}

func TestLinesComeBackAsTheyWereWritten(t *testing.T) {
	app := application(t)
	long := strings.Repeat("long ", 8_000)
	out, errs := stream(t, app+".web@v1", 3<<3|6), stream(t, app+".web@v1", 3<<3|3)
	began := time.Now()
	for _, line := range []string{"plain ä", "  indented", "\x1b[31mred\x1b[0m", "not UTF-8 \xff\xfe", "carriage return\r", "tab\there", "<4>not a level", long + "."} {
		write(t, out, line+"\n")
	}
	write(t, out, "in two ")
	write(t, out, "pieces\n")
	command(t, "journalctl", "--sync")
	write(t, errs, "oops\n")
	got := lines(t, app, runner.Window{})
	equal(t, "lines", texts(got), []string{"plain ä", "  indented", "\x1b[31mred\x1b[0m", "not UTF-8 \uFFFD", "carriage return", "tab\there",
		"<4>not a level", long + ".", "in two pieces", "oops"})
	for i, l := range got {
		stream := "stdout"
		if i == len(got)-1 {
			stream = "stderr"
		}
		if l.Stream != stream || l.At.Before(began.Add(-time.Second)) || l.At.After(time.Now()) {
			t.Errorf("%q is on %s at %v", l.Text, l.Stream, l.At)
		}
	}
	equal(t, "the newest two", texts(lines(t, app, runner.Window{Lines: 2})), []string{"in two pieces", "oops"})
	equal(t, "none since then", texts(lines(t, app, runner.Window{Since: time.Now()})), []string{})
}

func TestApplicationsAreNotMixed(t *testing.T) {
	app := application(t)
	for _, identifier := range []string{app + ".web@v1", app + "2.web@v1", app + ".web@v2", app} {
		write(t, stream(t, identifier, 6), "line of "+identifier+"\n")
	}
	equal(t, "lines", texts(lines(t, app, runner.Window{})), []string{"line of " + app + ".web@v1", "line of " + app + ".web@v2"})
	equal(t, "lines", texts(lines(t, app+"2", runner.Window{})), []string{"line of " + app + "2.web@v1"})
}

func TestForgedLineIsNotShown(t *testing.T) {
	app := application(t)
	identifier := app + ".web@v1"
	// Another user's unit, and the same user in a unit of ours.
	for _, unit := range []string{"stranger", "rollbridge-" + app} {
		command(t, "systemd-run", "--quiet", "--wait", "--collect", "--unit="+unit, "--uid=app", "--working-directory=/",
			"-p", "SyslogIdentifier="+identifier, "sh", "-c", "echo from "+unit+"; sleep 0.2")
	}
	equal(t, "lines", texts(lines(t, app, runner.Window{})), []string{"from rollbridge-" + app})
}

func TestSyncShowsTheLastLineOfACommandThatHasEnded(t *testing.T) {
	app := application(t)
	journal := systemd.OpenJournal()
	output := runner.NewJournal(journal)
	conn := stream(t, app+".web@v1", 6)
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write(t, conn, "first\n")
	lines(t, app, runner.Window{})
	writers, err := output.Writers(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	var slowest time.Duration
	for i := range 50 {
		word := fmt.Sprint("word", i)
		cmd := exec.Command("echo", word)
		cmd.Stdout = file
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := journal.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
		got, err := output.Tail(t.Context(), writers, runner.Window{Lines: 1})
		if err != nil || got[0].Text != word {
			t.Fatalf("%v, %v; want %s", got, err, word)
		}
	}
	t.Logf("the slowest sync took %v", slowest)
}

func TestFollowSurvivesJournaldAndJournalctl(t *testing.T) {
	app := application(t)
	conn := stream(t, app+".web@v1", 6)
	write(t, conn, "zero\n")
	lines(t, app, runner.Window{})
	output := runner.NewJournal(systemd.OpenJournal())
	writers, err := output.Writers(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make(chan string, 1000)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() {
		err := output.FollowWriters(ctx, writers, runner.Window{}, func(_ runner.Writer, l runner.Line) error {
			told <- l.Text
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	is := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("%q is not told", want)
		}
	}
	say := func(text string) { write(t, conn, text+"\n") }
	is("zero")
	say("one")
	is("one")
	say("before the restart of journald")
	command(t, "systemctl", "restart", "systemd-journald")
	say("after it")
	is("before the restart of journald")
	is("after it")
	say("before the end of journalctl")
	is("before the end of journalctl")
	exec.Command("pkill", "-9", "-f", "journalctl --follow.*"+app).Run()
	say("after that")
	is("after that")
	command(t, "journalctl", "--rotate")
	for i := range 500 {
		say(fmt.Sprint("many ", i))
	}
	for i := range 500 {
		is(fmt.Sprint("many ", i))
	}
}

// event sends an event as the daemon does.
func event(t *testing.T, app, message, data string, more ...systemd.Field) {
	t.Helper()
	socket := systemd.OpenJournalSocket()
	defer socket.Close()
	fields := []systemd.Field{
		{Name: "MESSAGE", Value: message}, {Name: "PRIORITY", Value: "6"}, {Name: "SYSLOG_IDENTIFIER", Value: "rollbridge"},
		{Name: "ROLLBRIDGE_APPLICATION", Value: app}, {Name: "ROLLBRIDGE_EVENT", Value: message},
		{Name: "ROLLBRIDGE_DATA", Value: data}, {Name: "ROLLBRIDGE_AT", Value: "2026-11-24T10:00:00.000Z"},
	}
	if err := socket.Send(append(fields, more...), patience); err != nil {
		t.Fatal(err)
	}
}

func TestEventsComeBackFromTheJournal(t *testing.T) {
	app := application(t)
	large := strings.Repeat("x", 1<<20)
	event(t, app, "process exited", `{"code":1,"signal":null}`)
	event(t, app+"2", "of another application", `{}`)
	event(t, app, "deploy failed", `{"error":"`+large+`"}`)
	event(t, app, "log lines dropped", `{"count":3}`)
	command(t, "systemctl", "restart", "systemd-journald")
	event(t, app, "daemon started", `not JSON`)
	command(t, "setpriv", "--reuid=1000", "--clear-groups", "sh", "-c",
		"printf 'MESSAGE=forged\\nSYSLOG_IDENTIFIER=rollbridge\\nROLLBRIDGE_APPLICATION="+app+"\\nROLLBRIDGE_EVENT=forged\\n' | logger --journald")
	journal := systemd.OpenJournal()
	if err := journal.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	events, err := supervisor.NewJournalArchive(journal, app).Events(t.Context(), 10, time.Time{})
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if e := events[0]; e.Message != "process exited" || e.At != "2026-11-24T10:00:00.000Z" || e.Data["code"] != 1.0 || e.Data["signal"] != nil {
		t.Errorf("%+v", e)
	}
	if e := events[1]; e.Message != "deploy failed" || e.Data["error"] != large {
		t.Errorf("%s with %d bytes", e.Message, len(fmt.Sprint(e.Data["error"])))
	}
	if e := events[2]; e.Message != "daemon started" || e.Data == nil || len(e.Data) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestEventIsShownWithTheUnitItIsAbout(t *testing.T) {
	app := application(t)
	unit := "rollbridge-" + app + ".worker.v1.service"
	kind, _ := supervisor.KindOf("process exited")
	event(t, app, "process exited", `{}`, systemd.Field{Name: "OBJECT_SYSTEMD_UNIT", Value: unit}, systemd.Field{Name: "MESSAGE_ID", Value: kind.ID})
	command(t, "journalctl", "--sync")
	for _, args := range [][]string{{"-u", unit}, {"MESSAGE_ID=" + kind.ID, "ROLLBRIDGE_APPLICATION=" + app}, {"-t", "rollbridge", "ROLLBRIDGE_APPLICATION=" + app}} {
		if out := command(t, append([]string{"journalctl", "--quiet", "--output=cat"}, args...)...); out != "process exited\n" {
			t.Errorf("journalctl %q: %q", args, out)
		}
	}
}

func TestUserWithoutRightsSeesOwnLinesOnly(t *testing.T) {
	app := application(t)
	write(t, stream(t, app+".web@v1", 6), "of root\n")
	command(t, "journalctl", "--sync")
	probe := exec.Command("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", os.Args[0], "-test.run=^TestPlayUser$")
	probe.Env = append(os.Environ(), "PLAY_USER_OF="+app)
	out, err := probe.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("readable false, lines []")) {
		t.Errorf("%v\n%s", err, out)
	}
	if !systemd.OpenJournal().Readable() {
		t.Error("root may not read the journal")
	}
}

// TestPlayUser is the other user of TestUserWithoutRightsSeesOwnLinesOnly.
func TestPlayUser(t *testing.T) {
	app := os.Getenv("PLAY_USER_OF")
	if app == "" {
		t.Skip("it is a part of another test")
	}
	journal := systemd.OpenJournal()
	output := runner.NewJournal(journal)
	writers, err := output.Writers(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	all, err := output.Tail(t.Context(), writers, runner.Window{})
	fmt.Printf("readable %v, lines %v, error %v\n", journal.Readable(), texts(all), err)
}

// withoutRateLimit has the journal keep all that one unit writes.
func withoutRateLimit(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll("/run/systemd/journald.conf.d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/run/systemd/journald.conf.d/test.conf", []byte("[Journal]\nRateLimitIntervalSec=0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, "systemctl", "restart", "systemd-journald")
}

func TestTailsOfTwentyProcessesAreFoundBesideAChattyOne(t *testing.T) {
	withoutRateLimit(t)
	app := application(t)
	var streams []net.Conn
	for i := range 20 {
		streams = append(streams, stream(t, fmt.Sprintf("%s.worker#%d@v1", app, i), 6))
	}
	chatty := stream(t, app+".web@v1", 6)
	for i := range 500 {
		write(t, chatty, strings.Repeat(fmt.Sprintf("noise %d\n", i), 100))
		if i%5 == 0 {
			for _, s := range streams {
				write(t, s, fmt.Sprintf("line %d\n", i/5))
			}
		}
	}
	lines(t, app, runner.Window{Lines: 1})
	archive := supervisor.NewJournalArchive(systemd.OpenJournal(), app)
	times := []time.Duration{}
	for range 9 {
		began := time.Now()
		logs, err := archive.Logs(t.Context(), supervisor.LogsArgs{ProcessID: "worker"})
		times = append(times, time.Since(began))
		if err != nil || len(logs) != 20 || len(logs[7].Logs) != 50 || logs[7].Logs[49].Line != "line 99" {
			t.Fatalf("%d processes, %v, %+v", len(logs), err, logs[7])
		}
	}
	slices.Sort(times)
	t.Logf("50 lines of each of 20 processes beside %d others: median %v, slowest %v", 500*100, times[4], times[8])
}
