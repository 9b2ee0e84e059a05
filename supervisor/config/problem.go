package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Problem is one mistake in a configuration file. Line and Column start at 1
// and count lines and characters; Path is the full key, "" for the whole file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path"`
	Message string `json:"message"`
	Fix     string `json:"fix"`

	source string // the line it points at
}

// Problems are all mistakes of one file, sorted by position. It is the error
// of a configuration that cannot be used.
type Problems []Problem

// Error lists the messages, one per line, below a headline.
func (ps Problems) Error() string {
	var b strings.Builder
	b.WriteString("Invalid Rollbridge config:")
	for _, p := range ps {
		b.WriteString("\n  - " + p.Message)
	}
	return b.String()
}

// WritePlain writes the problems for a reader that is no terminal.
func (ps Problems) WritePlain(w io.Writer) error {
	return ps.write(w, func(i int, p Problem) string {
		return fmt.Sprintf("%d. %s\n   at %s\n   Fix: %s\n", i, p.Message, p.at(), p.Fix)
	})
}

// WriteText writes the problems for a person: each with its source line, a
// caret below the place, and the fix.
func (ps Problems) WriteText(w io.Writer, color bool) error {
	paint := painter(color)
	return ps.write(w, func(i int, p Problem) string {
		head := fmt.Sprintf("%d. %s %s\n", i, paint(bold, p.place()+":"), paint(red, p.described()))
		if line, caret := p.excerpt(); line != "" {
			head += "   " + line + "\n   " + paint(red, caret) + "\n"
		}
		return head + "   Fix: " + p.Fix + "\n"
	})
}

func (ps Problems) write(w io.Writer, entry func(i int, p Problem) string) error {
	if len(ps) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Found %d configuration %s in %s:\n", len(ps), plural(len(ps), "issue"), ps[0].File)
	for i, p := range ps {
		b.WriteString("\n" + entry(i+1, p))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// place is file:line:column, as compilers write it.
func (p Problem) place() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

func (p Problem) at() string {
	if p.Path == "" {
		return p.place()
	}
	return p.place() + " (" + p.Path + ")"
}

// described is the message with the path in front, unless it names it anyway.
func (p Problem) described() string {
	if strings.Contains(p.Message, p.Path) {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// excerpt returns the source line, cut to a readable part around the place,
// and a line with a caret below it.
func (p Problem) excerpt() (line, caret string) {
	const before, after = 60, 60
	runes := []rune(p.source)
	at := max(0, min(p.Column-1, len(runes)))
	from := max(0, at-before)
	shown := slices.Clone(runes[from:min(len(runes), at+after)])
	for i, r := range shown {
		if !unicode.IsPrint(r) {
			shown[i] = ' ' // tabs, and what could confuse a terminal
		}
	}
	return strings.TrimRight(string(shown), " "), strings.Repeat(" ", at-from) + "^"
}

const (
	bold = "1"
	red  = "31"
)

func painter(color bool) func(style, text string) string {
	if !color {
		return func(_, text string) string { return text }
	}
	return func(style, text string) string { return "\x1b[" + style + "m" + text + "\x1b[0m" }
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
