package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/systemd"
)

func TestWriterIsReadBackFromItsIdentifier(t *testing.T) {
	for _, want := range []Writer{
		{Instance: "worker", Release: "v42", Generation: 1},
		{Instance: "worker#2", Release: "2026.01-rc_1", Generation: 2},
		{Instance: ".a-b.c", Release: "9", Generation: 10},
	} {
		want.identifier = gate.Identifier(config.Spec{Application: "my shop", Instance: want.Instance, Release: want.Release, Generation: want.Generation})
		if got, ok := parseWriter("my shop", want.identifier); !ok || got != want {
			t.Errorf("%s: %+v, %v", want.identifier, got, ok)
		}
	}
	for _, identifier := range []string{"", "my shop", "my shop.worker", "my shop.@v1", "my shop.worker@", "my shop.worker@v1+", "my shop.worker@v1+0", "my shop.worker@v1+x", "other.worker@v1", "my shop2.worker@v1"} {
		if w, ok := parseWriter("my shop", identifier); ok {
			t.Errorf("%q is read as %+v", identifier, w)
		}
	}
}

// diary is a journal whose entries are the lines of a file, "time identifier unit
// priority text", read by this test binary in place of journalctl. The time, in
// seconds, is the cursor too.
type diary struct {
	t    *testing.T
	file string
	*Journal
}

func newDiary(t *testing.T) *diary {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "journalctl")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	d := &diary{t: t, file: filepath.Join(dir, "diary"), Journal: NewJournal(systemd.OpenJournal())}
	d.write()
	return d
}

// playJournalctl prints the lines of the diary that are asked for: the newest
// first, or as they are written, until it is killed.
func playJournalctl() {
	dir, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	file := filepath.Join(dir, "diary")
	var from int64
	identifiers := map[string]bool{}
	for _, arg := range os.Args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "--after-cursor":
			fmt.Sscan(value, &from)
			from++
		case "--since":
			fmt.Sscanf(value, "@%d", &from)
		case "SYSLOG_IDENTIFIER":
			identifiers[value] = true
		}
	}
	shown := 0
	for {
		text, err := os.ReadFile(file)
		if err != nil {
			os.Exit(1) // the test is over
		}
		lines := strings.SplitAfter(string(text), "\n")
		lines = lines[:len(lines)-1]
		news := slices.Clone(lines[shown:])
		shown = len(lines)
		if slices.Contains(os.Args, "--reverse") {
			slices.Reverse(news)
		}
		for _, line := range news {
			var at int64
			var identifier, unit, priority, text string
			fmt.Sscan(line, &at, &identifier, &unit, &priority, &text)
			if at >= from && identifiers[identifier] {
				fmt.Printf(`{"__CURSOR":"%d","__REALTIME_TIMESTAMP":"%d000000","SYSLOG_IDENTIFIER":"%s","_SYSTEMD_UNIT":"%s","PRIORITY":"%s","MESSAGE":"%s"}`+"\n",
					at, at, identifier, unit, priority, text)
			}
		}
		if slices.Contains(os.Args, "--reverse") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *diary) write(lines ...string) {
	d.t.Helper()
	f, err := os.OpenFile(d.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for _, line := range lines {
		fmt.Fprintln(f, line)
	}
}

// journalled is a process of which there is only output.
type journalled struct {
	Process
	name string
	*journalOutput
}

func (p *journalled) written() output { return p.journalOutput }

func (d *diary) process(name string, born int64, releases ...string) *journalled {
	var specs []config.Spec
	for _, release := range releases {
		specs = append(specs, config.Spec{Application: "shop", Instance: name, Release: release, OutputLines: 3})
	}
	return &journalled{name: name, journalOutput: newJournalOutput(d.Journal, time.Unix(born, 0), specs...)}
}

func texts(lines []Line) string {
	var all []string
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return strings.Join(all, " ")
}

func TestOutputIsWhatTheProcessAndNobodyElseWrote(t *testing.T) {
	d := newDiary(t)
	d.write(
		"10 shop.worker@v1 rollbridge-shop.worker.v1.service 6 before",
		"20 shop.worker@v1 rollbridge-shop.worker.v1.service 6 one",
		"21 shop.worker@v1 evil.service 6 forged",
		"22 shop.worker@v2 rollbridge-shop.worker.v1.service 3 two",
		"23 shop.web@v1 rollbridge-shop.web.v1.1.scope 6 other",
		`24 shop.worker@v2 rollbridge-shop.worker.v1.service 6 three\r`,
		"25 shop.worker@v2 rollbridge-shop.worker.v1.service 6 four",
	)
	p := d.process("worker", 20, "v1", "v2")
	for want, w := range map[string]Window{
		"two three four":     {}, // outputLines: 3
		"one two three four": {Lines: 10},
		"four":               {Lines: 1},
		"three four":         {Since: time.Unix(24, 0)},
	} {
		lines, err := p.tail(t.Context(), w)
		if err != nil || texts(lines) != want {
			t.Errorf("%+v: %q, %v", w, lines, err)
		}
	}
	lines, _ := p.tail(t.Context(), Window{})
	if want := (Line{At: time.Unix(22, 0), Stream: "stderr", Text: "two"}); !lines[0].At.Equal(want.At) || lines[0].Stream != "stderr" || lines[1].Stream != "stdout" {
		t.Errorf("%+v", lines)
	}
}

// told collects what a Follower tells.
type told struct {
	t     *testing.T
	lines chan string
}

func (l *told) tell(p Process, line Line) { l.lines <- p.(*journalled).name + ":" + line.Text }

func (l *told) is(want ...string) {
	l.t.Helper()
	for _, w := range want {
		select {
		case got := <-l.lines:
			if got != w {
				l.t.Errorf("told %s, want %s", got, w)
			}
		case <-time.After(10 * time.Second):
			l.t.Fatalf("not told: %s", w)
		}
	}
}

func TestFollowerTellsEachLineOnceWhileProcessesComeAndGo(t *testing.T) {
	d := newDiary(t)
	now := time.Now().Unix()
	write := func(after int64, name, text string) {
		d.write(fmt.Sprintf("%d shop.%s rollbridge-x.service 6 %s", now+after, name, text))
	}
	l := &told{t, make(chan string, 100)}
	f := d.Follow(l.tell)
	defer f.Close()
	web, worker := d.process("web", now-100, "v1"), d.process("worker", now-100, "v1")
	set := func(w Window, processes ...Process) {
		t.Helper()
		if err := f.Set(t.Context(), processes, w); err != nil {
			t.Fatal(err)
		}
	}
	write(-9, "web@v1", "old")
	write(-8, "worker@v1", "w0")
	write(-7, "web@v1", "a")
	set(Window{Lines: 1}, web, worker)
	l.is("worker:w0", "web:a")
	write(1000, "web@v1", "b")
	l.is("web:b")

	// Who is new has written already, before and after what was told last.
	clock := d.process("clock", now-100, "v1")
	write(999, "clock@v1", "c0")
	write(1001, "clock@v1", "c1")
	set(Window{}, web, worker, clock)
	l.is("clock:c0", "clock:c1")
	write(1002, "web@v1", "d")
	l.is("web:d")

	// Another release of the same process, while another process goes.
	worker.begins(config.Spec{Application: "shop", Instance: "worker", Release: "v2", OutputLines: 3})
	write(1003, "worker@v2", "w1")
	set(Window{}, worker, clock)
	write(1004, "web@v1", "unheard")
	l.is("worker:w1")
	write(1005, "clock@v1", "c2")
	l.is("clock:c2")

	// Nothing has changed, so the reader goes on.
	before := childrenOf(os.Getpid())
	set(Window{}, worker, clock)
	if after := childrenOf(os.Getpid()); len(before) != 1 || !slices.Equal(before, after) {
		t.Errorf("readers: %v, then %v", before, after)
	}
	f.Close()
	if len(l.lines) > 0 {
		t.Errorf("told too: %s", <-l.lines)
	}
}

func TestFollowerSaysWhyTheJournalCannotBeRead(t *testing.T) {
	d := newDiary(t)
	t.Setenv("PATH", "/nowhere")
	f := d.Follow(func(Process, Line) {})
	defer f.Close()
	if err := f.Set(t.Context(), []Process{d.process("web", 0, "v1")}, Window{}); err == nil || !strings.Contains(err.Error(), "journalctl") {
		t.Error(err)
	}
}

func TestWindowOfLines(t *testing.T) {
	var lines []Line
	for i := range 5 {
		lines = append(lines, Line{At: time.Unix(int64(i), 0), Text: fmt.Sprint(i)})
	}
	for want, w := range map[string]Window{
		"0 1 2 3 4": {},
		"3 4":       {Lines: 2},
		"2 3 4":     {Since: time.Unix(2, 0), Lines: 9},
		"4":         {Since: time.Unix(2, 0), Lines: 1},
		"":          {Since: time.Unix(4, 1)},
	} {
		if got := texts(w.pick(slices.Clone(lines))); got != want {
			t.Errorf("%+v: %s", w, got)
		}
	}
}

func TestRingFollowerTellsWhatIsKeptAndWhatComes(t *testing.T) {
	r := newRing(10)
	add := func(text string) { r.add(time.Now(), "stdout", []byte(text)) }
	p := &task{output: r}
	lines := make(chan string, 10)
	f := followRings(func(_ Process, l Line) { lines <- l.Text })
	add("old")
	add("kept")
	for range 2 { // the second time it is not new
		if err := f.Set(context.Background(), []Process{p}, Window{Lines: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-lines; got != "kept" {
		t.Error(got)
	}
	add("new")
	if got := <-lines; got != "new" {
		t.Error(got)
	}
	f.Set(context.Background(), nil, Window{})
	f.Close()
	add("unheard")
	if len(lines) > 0 {
		t.Error(<-lines)
	}
}
