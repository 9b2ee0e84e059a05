package config

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestBadFilesAreExplained(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".golden" {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, problems := Parse(filepath.Base(file), src, testOptions)
		for _, p := range problems {
			checkPlace(t, p, string(src))
		}
		compare(t, file+".golden", text(t, problems))
	}
}

func text(t *testing.T, problems Problems) string {
	t.Helper()
	var b strings.Builder
	if err := problems.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s", golden, got)
	}
}

func TestGoodFilesAreSilent(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := Parse(file, src, testOptions); len(problems) > 0 {
			t.Error(problems)
		}
	}
}

// Check 11.
func TestPlainFormHasHeadlineNumbersPlacesAndFixes(t *testing.T) {
	ps := Problems{
		{File: "a.yaml", Line: 1, Column: 2, Path: "proxy.port", Message: "proxy.port must be a number", Fix: "set it", source: "x"},
		{File: "a.yaml", Line: 3, Column: 4, Message: "invalid YAML", Fix: "mend it"},
	}
	var b strings.Builder
	if err := ps.WritePlain(&b); err != nil {
		t.Fatal(err)
	}
	const want = `Found 2 configuration issues in a.yaml:

1. proxy.port must be a number
   at a.yaml:1:2 (proxy.port)
   Fix: set it

2. invalid YAML
   at a.yaml:3:4
   Fix: mend it
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	b.Reset()
	if _ = ps[:1].WritePlain(&b); !strings.HasPrefix(b.String(), "Found 1 configuration issue in a.yaml:\n") {
		t.Errorf("got\n%s", b.String())
	}
}

// Check 13.
func TestErrorListsTheMessages(t *testing.T) {
	ps := Problems{{Message: "proxy is required"}, {Message: "x must be a string"}}
	if got := ps.Error(); got != "Invalid Rollbridge config:\n  - proxy is required\n  - x must be a string" {
		t.Errorf("got %q", got)
	}
}

func TestColorsAreOnlyThereWhenAsked(t *testing.T) {
	ps := Problems{{File: "a", Line: 1, Column: 1, Message: "m", Fix: "f", source: "text"}}
	for _, color := range []bool{false, true} {
		var b strings.Builder
		if err := ps.WriteText(&b, color); err != nil || strings.Contains(b.String(), "\x1b[") != color {
			t.Errorf("color %v: %q", color, b.String())
		}
	}
}

func TestCaretStandsBelowTheColumnOfALongLine(t *testing.T) {
	p := Problem{Line: 1, Column: 301, source: strings.Repeat("a", 300) + "\x1b\tX" + strings.Repeat("b", 300)}
	p.Column = 303
	line, caret := p.excerpt()
	if at := strings.IndexByte(line, 'X'); at < 0 || caret != strings.Repeat(" ", at)+"^" || strings.ContainsAny(line, "\x1b\t") {
		t.Errorf("%q\n%q", line, caret)
	}
}

func TestProblemJSON(t *testing.T) {
	got, err := json.Marshal(Problem{"f", 1, 2, "p", "m", "x", "source"})
	if want := `{"file":"f","line":1,"column":2,"path":"p","message":"m","fix":"x"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestWritingReportsErrors(t *testing.T) {
	ps := Problems{{Message: "m"}}
	if ps.WriteText(brokenWriter{}, false) == nil || ps.WritePlain(brokenWriter{}) == nil {
		t.Error("no error")
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"comand": "command", "Command": "command", "cmd": "cwd", "replica": "replicas", "prot": "port", "elsewhere": "",
		strings.Repeat("command", 100): "",
	} {
		if got := nearest(name, keys["processes[]"], ""); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
