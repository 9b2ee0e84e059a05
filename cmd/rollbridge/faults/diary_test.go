package faults

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// entry is a line of the diary that the processes of an instance keep.
type entry struct {
	what    string // "start", "signal", "end", "overlap", …
	process string // with its release: "worker@v1"
	pid     int
	at      time.Duration // since the boot
	text    string        // what else the process has to say
}

// uptime is the time since the boot, the same for all processes.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// write appends the entry to a diary, in one piece.
func (e entry) write(path string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s %s %d %d %s\n", e.what, e.process, e.pid, e.at, e.text)
}

// diary is what the processes wrote so far.
func (in *instance) diary() []entry {
	in.t.Helper()
	return readDiary(in.t, in.path("diary"))
}

func readDiary(t *testing.T, path string) []entry {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	for line := range strings.Lines(string(b)) {
		var e entry
		if _, err := fmt.Sscanf(line, "%s %s %d %d", &e.what, &e.process, &e.pid, &e.at); err != nil {
			t.Fatalf("diary line %q: %v", line, err)
		}
		e.text = strings.Join(strings.Split(strings.TrimSuffix(line, "\n"), " ")[4:], " ")
		entries = append(entries, e)
	}
	return entries
}

// entries is those of one kind that a process wrote; process may be without its
// release.
func (in *instance) entries(what, process string) []entry {
	in.t.Helper()
	return pick(in.diary(), what, process)
}

func pick(diary []entry, what, process string) []entry {
	var found []entry
	for _, e := range diary {
		if e.what == what && (e.process == process || strings.HasPrefix(e.process, process+"@")) {
			found = append(found, e)
		}
	}
	return found
}

// awaitEntries waits until a process has written n entries of a kind.
func (in *instance) awaitEntries(n int, what, process string) []entry {
	in.t.Helper()
	in.eventually(fmt.Sprintf("the diary says %d times %s %s", n, what, process), func() bool {
		return len(in.entries(what, process)) >= n
	})
	return in.entries(what, process)
}

// noOverlap fails the test when two instances of a process that there may be one
// of ever ran at the same time.
func (in *instance) noOverlap() {
	in.t.Helper()
	for _, e := range in.diary() {
		if e.what == "overlap" {
			in.t.Errorf("two at once: %+v", e)
		}
	}
}

// id is the process that wrote an entry, without its release.
func id(e entry) string {
	id, _, _ := strings.Cut(e.process, "@")
	return id
}
