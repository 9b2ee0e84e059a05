package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/restart"
)

func mustAppend(t *testing.T, d Dir, id string, r Record) {
	t.Helper()
	if err := d.Append(id, r); err != nil {
		t.Fatal(err)
	}
}

// newLogDir has an empty log "a1" and returns its path.
func newLogDir(t *testing.T) (Dir, string) {
	t.Helper()
	d := newDir(t)
	if err := d.make(); err != nil {
		t.Fatal(err)
	}
	return d, filepath.Join(string(d), "a1.log")
}

// told lists the kept records after a number as "1 started, 2 exited".
func told(t *testing.T, d Dir, after uint64) string {
	t.Helper()
	records, err := d.Records("a1", after)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range records {
		list = append(list, fmt.Sprintf("%d %s", r.Seq, r.Kind))
	}
	return strings.Join(list, ", ")
}

func TestRecordsAreNumberedAndKeptInOrder(t *testing.T) {
	d, _ := newLogDir(t)
	if got := told(t, d, 0); got != "" {
		t.Error(got)
	}
	for _, kind := range []Kind{Started, Exited, Waiting, Started} {
		mustAppend(t, d, "a1", Record{Kind: kind, Seq: 77})
	}
	if got := told(t, d, 0); got != "1 started, 2 exited, 3 waiting, 4 started" {
		t.Error(got)
	}
	if got := told(t, d, 2); got != "3 waiting, 4 started" {
		t.Error(got)
	}
	if got := told(t, d, 4); got != "" {
		t.Error(got)
	}
}

func TestALineThatWasNotFinishedIsSkipped(t *testing.T) {
	for name, torn := range map[string]string{
		"cut": `{"seq":3,"kind":"exi`, "empty file space": "\x00\x00\x00", "noise": "]]\n\n{}\n", "blank": "\n\n",
	} {
		d, path := newLogDir(t)
		mustAppend(t, d, "a1", Record{Kind: Started})
		mustAppend(t, d, "a1", Record{Kind: Exited})
		f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		f.WriteString(torn)
		f.Close()
		if got := told(t, d, 1); got != "2 exited" {
			t.Errorf("%s: %s", name, got)
		}
		mustAppend(t, d, "a1", Record{Kind: Waiting})
		if got := told(t, d, 0); got != "1 started, 2 exited, 3 waiting" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestALineWithoutItsEndCounts(t *testing.T) {
	d, path := newLogDir(t)
	mustAppend(t, d, "a1", Record{Kind: Started})
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, text[:len(text)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, d, "a1", Record{Kind: Exited})
	if got := told(t, d, 0); got != "1 started, 2 exited" {
		t.Error(got)
	}
}

func TestALostLogBeginsAnewForAReaderToo(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"removed": os.Remove,
		"garbage": func(path string) error { return os.WriteFile(path, []byte("garbage\x00\xff\n[1]"), 0o600) },
	} {
		d, path := newLogDir(t)
		for range 9 {
			mustAppend(t, d, "a1", Record{Kind: Started})
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if got := told(t, d, 9); got != "" {
			t.Errorf("%s: %s", name, got)
		}
		mustAppend(t, d, "a1", Record{Kind: Failed})
		if got := told(t, d, 9); got != "1 failed" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheLogIsBoundedAndAReaderMissesNothingNew(t *testing.T) {
	d, path := newLogDir(t)
	var seen uint64
	largest := int64(0)
	const n = 2000
	for i := 1; i <= n; i++ {
		mustAppend(t, d, "a1", Record{Kind: Started, Error: strings.Repeat("x", i%1000)})
		if i%50 != 0 { // the reader is at most half of what is kept behind
			continue
		}
		info, _ := os.Stat(path)
		largest = max(largest, info.Size())
		records, err := d.Records("a1", seen)
		if err != nil || len(records) != 50 {
			t.Fatalf("%d records, %v", len(records), err)
		}
		for _, r := range records {
			if seen++; r.Seq != seen {
				t.Fatalf("%d instead of %d", r.Seq, seen)
			}
		}
	}
	if largest > logLimit || largest < logLimit/2 {
		t.Errorf("largest size %d", largest)
	}
}

func TestALongHistoryLeavesAtLeastOneRecord(t *testing.T) {
	d, path := newLogDir(t)
	long := Record{Kind: Exited, History: restart.History{Restarts: make([]time.Duration, 30_000)}}
	for i := range long.History.Restarts {
		long.History.Restarts[i] = time.Hour + time.Duration(i)
	}
	for range 5 {
		mustAppend(t, d, "a1", long)
	}
	records, err := d.Records("a1", 0)
	if err != nil || len(records) != 1 || records[0].Seq != 5 || len(records[0].History.Restarts) != 30_000 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestWritersAndReadersDoNotDisturbEachOther(t *testing.T) {
	d, _ := newLogDir(t)
	var writers, readers sync.WaitGroup
	const n, each = 4, 100
	long := strings.Repeat("x", 3000) // compacts a few times
	for range n {
		writers.Go(func() {
			for range each {
				if err := d.Append("a1", Record{Kind: Started, Error: long}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	readers.Go(func() {
		for last := false; !last; {
			select {
			case <-done:
				last = true
			default:
			}
			checkSequence(t, d, last, n*each)
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
}

// checkSequence reads a log: no record is missing between the first and the
// last one.
func checkSequence(t *testing.T, d Dir, complete bool, end uint64) {
	records, err := d.Records("a1", 0)
	if err != nil {
		t.Error(err)
	}
	for i := 1; i < len(records); i++ {
		if records[i].Seq != records[i-1].Seq+1 {
			t.Errorf("%d after %d", records[i].Seq, records[i-1].Seq)
		}
	}
	if complete && (len(records) < 20 || records[len(records)-1].Seq != end) {
		t.Errorf("%d records at the end", len(records))
	}
}

func TestALogStaysOpenForAProcessThatMayNotOpenIt(t *testing.T) {
	d, path := newLogDir(t)
	l, err := d.log("a1")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.load(os.O_CREATE); err != nil {
		t.Fatal(err)
	}
	defer l.close()
	long := Record{Kind: Started, Error: strings.Repeat("x", logLimit)}
	if err := l.append(long); err != nil { // compacts: another file is in place
		t.Fatal(err)
	}
	l.path = filepath.Join(path, "unreachable")
	if err := l.append(Record{Kind: Failed}); err != nil {
		t.Fatal(err)
	}
	if got := told(t, d, 0); got != "1 started, 2 failed" {
		t.Error(got)
	}
}

func TestAFullDiskLeavesNoTornLine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a small disk")
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=8k,mode=700"); err != nil {
		t.Skip("mount a small disk: ", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	d := Dir(mount)
	mustAppend(t, d, "a1", Record{Kind: Started})
	if err := d.Append("a1", Record{Kind: Failed, Error: strings.Repeat("x", 20_000)}); err == nil {
		t.Fatal("no error")
	}
	mustAppend(t, d, "a1", Record{Kind: Exited})
	if got := told(t, d, 0); got != "1 started, 2 exited" {
		t.Error(got)
	}
}
