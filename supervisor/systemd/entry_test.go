package systemd

import (
	"strings"
	"testing"
	"time"
)

func TestEntryIsReadInEveryFormJournalctlWritesIt(t *testing.T) {
	for name, test := range map[string]struct{ value, want string }{
		"text":            {`"plain \u00e4"`, "plain ä"},
		"bytes":           {`[98,97,100,255,120]`, "bad\xffx"},
		"colours":         {`[27,91,51,49,109,114]`, "\x1b[31mr"},
		"too large":       {`null`, ""},
		"given twice":     {`["first","second"]`, "first"},
		"bytes twice":     {`[[255,97],"second"]`, "\xffa"},
		"large and small": {`[null,"second"]`, "second"},
		"no bytes":        {`[]`, ""},
		"number too big":  {`[256]`, ""},
		"an object":       {`{"a":1}`, ""},
		"a number":        {`17`, ""},
	} {
		e, err := parseEntry([]byte(`{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795654259694889","MESSAGE":` + test.value + `}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := e.Field("MESSAGE"); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if e.Cursor != "s=1;i=2" || !e.Time.Equal(time.UnixMicro(1795654259694889)) {
			t.Errorf("%s: cursor %q, time %v", name, e.Cursor, e.Time)
		}
	}
}

func TestLineThatIsNoEntryIsRefused(t *testing.T) {
	for _, line := range []string{``, `{`, `[]`, `null`, `"x"`, `{"MESSAGE":"no time"}`, `{"__REALTIME_TIMESTAMP":"soon"}`, "-- No entries --"} {
		if e, err := parseEntry([]byte(line)); err == nil {
			t.Errorf("%s is read as %v", line, e)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(`{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1","MESSAGE":[1,[2],null,"x"]}`)
	f.Add(`{"__REALTIME_TIMESTAMP":["1",2],"MESSAGE":null}`)
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parseEntry([]byte(line))
		if err != nil && e.fields != nil && e.Cursor != "" {
			t.Errorf("an error and an entry: %v %v", err, e)
		}
	})
}

func TestReadingGoesOnAfterWhatIsNoEntry(t *testing.T) {
	entry := func(message string) string {
		return `{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","MESSAGE":"` + message + `"}` + "\n"
	}
	in := "-- a note --\n" + entry("one") + "\n" + entry(strings.Repeat("x", maxEntry)) + entry("two") + strings.TrimSuffix(entry("three"), "\n")
	var got []string
	if enough := readEntries(strings.NewReader(in), func(e Entry) bool {
		got = append(got, e.Field("MESSAGE"))
		return true
	}); enough || strings.Join(got, " ") != "one two three" {
		t.Errorf("%v, enough: %v", got, enough)
	}
}
