package systemd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// played returns a journal whose journalctl is a shell script. $1 is what it is
// asked for: its first argument.
func played(t *testing.T, script string) *Journal {
	t.Helper()
	program := filepath.Join(t.TempDir(), "journalctl")
	const entry = "#!/bin/sh\nentry() { printf '{\"__CURSOR\":\"%s\",\"__REALTIME_TIMESTAMP\":\"%s000000\",\"MESSAGE\":\"%s\"}\\n' \"$1\" \"$1\" \"$2\"; }\n"
	if err := os.WriteFile(program, []byte(entry+script), 0o755); err != nil {
		t.Fatal(err)
	}
	j := OpenJournal()
	j.program = program
	return j
}

var anything = Query{Any: [][]Match{{{"A", "a"}}}, Fields: []string{"MESSAGE"}}

func messages(entries []Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Field("MESSAGE"))
	}
	return strings.Join(all, " ")
}

func TestQueryIsWrittenForJournalctl(t *testing.T) {
	q := Query{
		Any:    [][]Match{{{"_UID", "0"}, {"SYSLOG_IDENTIFIER", "a b=c"}}, {{"B", "x"}, {"B", "y"}}},
		Fields: []string{"MESSAGE", "PRIORITY"},
		Since:  time.UnixMicro(1795654259000042),
	}
	want := []string{"--quiet", "--all", "--output=json", "--output-fields=MESSAGE,PRIORITY", "--since=@1795654259.000042",
		"_UID=0", "SYSLOG_IDENTIFIER=a b=c", "+", "B=x", "B=y"}
	if got := q.args(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestReadKeepsTheNewestAndReadsNoFurther(t *testing.T) {
	j := played(t, `i=99; while :; do entry $i m$i || exit; i=$((i-1)); done`) // it never ends by itself
	q := anything
	q.Limit, q.Keep = 3, func(e Entry) bool { return !strings.HasSuffix(e.Field("MESSAGE"), "8") }
	entries, err := j.Read(t.Context(), q)
	if got := messages(entries); err != nil || got != "m96 m97 m99" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestReadIsBoundedInBytes(t *testing.T) {
	j := played(t, `entry 1 $(head -c 1000000 /dev/zero | tr '\0' x) > $0.entry; while cat $0.entry; do :; done`)
	entries, err := j.Read(t.Context(), anything)
	if err != nil || len(entries) != maxRead/1_000_000 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestQueryForNothingAsksNobody(t *testing.T) {
	j := played(t, `entry 1 m`)
	for _, q := range []Query{{}, {Any: anything.Any, Limit: -1}} {
		if entries, err := j.Read(t.Context(), q); err != nil || len(entries) != 0 {
			t.Errorf("%v, %v", entries, err)
		}
	}
}

func TestComplaintOfJournalctlIsTheError(t *testing.T) {
	j := played(t, `echo "No journal files were opened due to insufficient permissions." >&2; echo more >&2; exit 1`)
	_, err := j.Read(t.Context(), anything)
	if err == nil || err.Error() != "read the journal: journalctl: No journal files were opened due to insufficient permissions." {
		t.Error(err)
	}
	j.program = "/nowhere/journalctl"
	if _, err := j.Read(t.Context(), anything); !errors.Is(err, errCannotRun) {
		t.Error(err)
	}
	if err := j.Follow(t.Context(), anything, nil); !errors.Is(err, errCannotRun) {
		t.Error(err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	j := played(t, `exec sleep 1000`)
	stop := errors.New("no longer wanted")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, stop)
	defer cancel()
	if _, err := j.Read(ctx, anything); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestFollowGoesOnAfterTheLastEntryWhenJournalctlEnds(t *testing.T) {
	j := played(t, `
case "$*" in
--reverse*) entry 2 two; entry 1 one;;
*--after-cursor=2*) entry 3 three;;
*--after-cursor=3*) entry 4 four; kill -9 $$;;
*--after-cursor=4*) entry 5 five; exec sleep 1000;;
*) entry 0 wrong;;
esac`)
	var got []Entry
	done := errors.New("enough")
	err := j.Follow(t.Context(), anything, func(e Entry) error {
		if got = append(got, e); len(got) == 5 {
			return done
		}
		return nil
	})
	if messages(got) != "one two three four five" || err != done {
		t.Errorf("%s, %v", messages(got), err)
	}
}

func TestFollowOfAnEmptyJournalMissesNothingWrittenMeanwhile(t *testing.T) {
	j := played(t, `
case "$*" in
--reverse*) exit;;
*--since=@*) for a; do case $a in --since=*) entry 1 "$a";; esac; done; exec sleep 1000;;
esac`)
	began := time.Now()
	done := errors.New("enough")
	var since string
	err := j.Follow(t.Context(), anything, func(e Entry) error { since = e.Field("MESSAGE"); return done })
	if err != done || since < sinceArg(began) || since > sinceArg(time.Now()) {
		t.Errorf("%s, %v", since, err)
	}
}
