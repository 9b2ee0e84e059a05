package runner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// written is what is kept of pieces that arrive one by one.
func written(lines int, pieces ...string) []string {
	s := &stream{name: "stdout", ring: newRing(lines)}
	for _, p := range pieces {
		s.split(time.Now(), []byte(p))
	}
	s.flush()
	var texts []string
	for _, line := range s.ring.since(0).lines {
		texts = append(texts, line.Text)
	}
	return texts
}

func TestLinesAreJoinedCutAndCleaned(t *testing.T) {
	x := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		name         string
		pieces, want []string
	}{
		{"one write", []string{"a\nb\n"}, []string{"a", "b"}},
		{"pieces of a line", []string{"on", "e li", "ne\ntwo"}, []string{"one line", "two"}},
		{"a split character", []string{"h\xc3", "\xa9\n"}, []string{"hé"}},
		{"empty lines", []string{"\n\n a \n\r\n\n"}, []string{" a "}},
		{"carriage returns", []string{"a\r", "\nb\rc\r\n"}, []string{"a", "b\rc"}},
		{"not UTF-8", []string{"a\xff\xfeb\n"}, []string{"a\uFFFDb"}},
		{"longest line", []string{x + "\ny\n"}, []string{x, "y"}},
		{"too long", []string{x, x + "yz", "\nend"}, []string{x, x, "yz", "end"}},
		{"cut between characters", []string{x[1:] + "é\n"}, []string{x[1:], "é"}},
		{"long rubbish", []string{strings.Repeat("\x80", maxLine+1)}, []string{"\uFFFD", "\uFFFD"}},
	} {
		if got := written(100, test.pieces...); !slices.Equal(got, test.want) {
			t.Errorf("%s: %.60q, want %.60q", test.name, got, test.want)
		}
	}
}

func TestRingKeepsTheNewestAndNumbersThem(t *testing.T) {
	r := newRing(3)
	add := func(n int) { r.add(time.Now(), "stderr", fmt.Append(nil, n)) }
	texts := func(out stretch) (all []string) {
		for _, l := range out.lines {
			all = append(all, l.Text)
		}
		return all
	}
	is := func(after uint64, want ...string) {
		t.Helper()
		if got := texts(r.since(after)); !slices.Equal(got, want) {
			t.Errorf("since %d: %v, want %v", after, got, want)
		}
	}
	before := r.since(0)
	if before.next != 0 || closed(before.changed) {
		t.Errorf("empty ring: %+v", before)
	}
	for n := range 5 {
		add(n)
	}
	if !closed(before.changed) {
		t.Error("not told of new lines")
	}
	is(0, "2", "3", "4")
	is(4, "4")
	is(5)
	is(99)
	r.resize(2)
	is(0, "3", "4")
	r.resize(4)
	add(5)
	add(6)
	is(0, "3", "4", "5", "6")
	add(7)
	is(0, "4", "5", "6", "7")
	if next := r.since(0).next; next != 8 {
		t.Errorf("next %d", next)
	}
}

func TestOutputOfAnyBytesIsBoundedUTF8(t *testing.T) {
	for _, text := range written(5, strings.Repeat("\xe2\x82", 40<<10), "\xf0\x9f\x98") {
		if !utf8.ValidString(text) || len(text) > 3*maxLine {
			t.Errorf("%d bytes", len(text))
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("one\ntwo\r\n\n", uint(3))
	f.Add("h\xc3\xa9\xff\n", uint(1))
	f.Add(strings.Repeat("é", maxLine), uint(7))
	f.Fuzz(func(t *testing.T, text string, at uint) {
		at %= uint(len(text)) + 1
		whole, pieces := written(1000, text), written(1000, text[:at], text[at:])
		if !slices.Equal(whole, pieces) {
			t.Errorf("written at once %q, in two %q", whole, pieces)
		}
		for _, line := range whole {
			if line == "" || strings.Contains(line, "\n") || !utf8.ValidString(line) {
				t.Errorf("line %q", line)
			}
		}
	})
}
