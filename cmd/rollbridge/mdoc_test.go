package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// mdoc writes manual pages: from help texts, and from the part of Markdown that
// the docs are written in.
type mdoc struct {
	strings.Builder
	below bool // a paragraph stands above: the next one needs a .Pp
}

// line writes one that begins with a macro.
func (m *mdoc) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

func (m *mdoc) section(title string) { m.line(".Sh %s", strings.ToUpper(title)); m.below = false }

func (m *mdoc) subsection(title string) { m.line(".Ss %s", title); m.below = false }

// paragraph writes text with Markdown inside.
func (m *mdoc) paragraph(text string) {
	if m.below {
		m.line(".Pp")
	}
	m.text(text)
}

// text begins a line with each sentence.
func (m *mdoc) text(text string) {
	text = sentenceEnd.ReplaceAllString(strings.Join(strings.Fields(inline(text)), " "), "$1\n$2")
	for sentence := range strings.Lines(text) {
		m.fold(strings.Fields(sentence))
	}
	m.below = true
}

var sentenceEnd = regexp.MustCompile(`([\w)]{2}(?:\\fP)?[.!?]) (\\fB|\w)`)

// fold writes words on lines of no more than 80 bytes, if they allow it.
func (m *mdoc) fold(words []string) {
	line := words[0]
	for _, word := range words[1:] {
		if roffLen(line+" "+word) > 80 {
			m.line("%s", protect(line))
			line = word
			continue
		}
		line += " " + word
	}
	m.line("%s", protect(line))
}

// roffLen is the length with other characters than ASCII as mandoc writes them.
func roffLen(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r > 127 {
			n += len(`\[u2026]`) - 1
		}
	}
	return n
}

// literal shows text as it is.
func (m *mdoc) literal(text string) {
	m.line(".Bd -literal -offset indent")
	for line := range strings.Lines(text) {
		m.line("%s", protect(strings.ReplaceAll(strings.TrimRight(line, "\n"), `\`, `\e`)))
	}
	m.line(".Ed")
	m.below = true
}

// list writes tags and what they stand for.
func (m *mdoc) list(rows [][2]string) {
	m.line(".Bl -tag -width Ds")
	for _, r := range rows {
		m.line(".It %s", r[0])
		m.text(r[1])
	}
	m.line(".El")
	m.below = true
}

// protect keeps a text line from being read as a macro.
func protect(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

var (
	link    = regexp.MustCompile(`\[([^]]+)\]\(([^)]+)\)`)
	strong  = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	emphasy = regexp.MustCompile(`\*([^*\s][^*]*)\*`)
	code    = regexp.MustCompile("`([^`]+)`")
)

// inline turns code, bold text and links into roff.
func inline(text string) string {
	var kept []string // code, in which nothing else is looked for
	text = code.ReplaceAllStringFunc(text, func(s string) string {
		words := strings.Fields(strings.ReplaceAll(s[1:len(s)-1], `\`, `\e`))
		kept = append(kept, `\fB\%`+strings.Join(words, ` \%`)+`\fP`) // not hyphenated
		return fmt.Sprintf("\x00%d\x00", len(kept)-1)
	})
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = link.ReplaceAllString(text, "$1")
	text = strong.ReplaceAllString(text, `\fB$1\fP`)
	text = emphasy.ReplaceAllString(text, `\fI$1\fP`)
	for i, s := range kept {
		text = strings.ReplaceAll(text, fmt.Sprintf("\x00%d\x00", i), s)
	}
	return text
}

// markdown writes a document; its headlines are sections and subsections.
func (m *mdoc) markdown(text string) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		block := func(more func(string) bool) []string {
			from := i
			for i+1 < len(lines) && more(lines[i+1]) {
				i++
			}
			return lines[from : i+1]
		}
		switch {
		case line == "":
		case strings.HasPrefix(line, "### "):
			m.subsection(strings.Trim(line[4:], "`"))
		case strings.HasPrefix(line, "## "):
			m.section(strings.Trim(line[3:], "`"))
		case strings.HasPrefix(line, "```"):
			shown := block(func(next string) bool { return next != "```" })
			i++
			m.literal(strings.Join(shown[1:], "\n"))
		case strings.HasPrefix(line, "|"):
			m.table(block(func(next string) bool { return strings.HasPrefix(next, "|") }))
		case item.MatchString(line):
			m.items(block(func(next string) bool { return item.MatchString(next) || strings.HasPrefix(next, "  ") }))
		default:
			m.paragraph(strings.Join(block(func(next string) bool {
				return next != "" && !item.MatchString(next) && !strings.HasPrefix(next, "|") && !strings.HasPrefix(next, "```")
			}), " "))
		}
	}
}

var item = regexp.MustCompile(`^([-*]|\d+\.) +`)

func (m *mdoc) items(lines []string) {
	kind := "-bullet"
	if lines[0][0] >= '0' && lines[0][0] <= '9' {
		kind = "-enum"
	}
	m.line(".Bl %s", kind)
	var text string
	flush := func() {
		if text != "" {
			m.line(".It")
			m.text(text)
		}
	}
	for _, line := range lines {
		if mark := item.FindString(line); mark != "" {
			flush()
			text = line[len(mark):]
			continue
		}
		text += " " + strings.TrimSpace(line)
	}
	flush()
	m.line(".El")
	m.below = true
}

// table writes each row under what its first column says. The columns `type`
// and `default` go into brackets.
func (m *mdoc) table(lines []string) {
	head := cells(lines[0])
	var rows [][2]string
	for _, line := range lines[2:] {
		row := cells(line)
		var brackets, text []string
		for i, cell := range row[1:] {
			switch title := head[i+1]; {
			case cell == "" || title == "default" && cell == "none":
			case title == "type":
				brackets = append(brackets, cell)
			case title == "default" && strings.HasPrefix(cell, "**"):
				brackets = append(brackets, strings.Trim(cell, "*"))
			case title == "default":
				brackets = append(brackets, "default: "+cell)
			case len(row) == 2 || title == "meaning" || title == "":
				text = append(text, cell)
			default:
				text = append(text, title+": "+cell)
			}
		}
		said := strings.Join(text, "; ")
		if brackets != nil {
			said = "(" + strings.Join(brackets, "; ") + ") " + said
		}
		rows = append(rows, [2]string{strings.Join(strings.Fields(inline(row[0])), `\ `), said})
	}
	m.list(rows)
}

// cells splits a row of a table; \| is none of its borders.
func cells(row string) []string {
	const bar = "\x01"
	row = strings.TrimSpace(strings.ReplaceAll(row, `\|`, bar))
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(row, "|"), "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(strings.ReplaceAll(parts[i], bar, "|"))
	}
	return parts
}

func TestMarkdownBecomesMdoc(t *testing.T) {
	var m mdoc
	m.markdown("## Where\n\nOne `a\\b` is *here*. Two is [there](x.md).\n.macro\n\n" +
		"| key | type | default | meaning |\n|---|---|---|---|\n| `k` | string | `1` | says `x\\|y`. Done |\n\n```sh\n'run' \\\n```\n- one\n  more\n- two\n")
	want := `.Sh WHERE
One \fB\%a\eb\fP is \fIhere\fP.
Two is there. .macro
.Bl -tag -width Ds
.It \fB\%k\fP
(string; default: \fB\%1\fP) says \fB\%x|y\fP.
Done
.El
.Bd -literal -offset indent
\&'run' \e
.Ed
.Bl -bullet
.It
one more
.It
two
.El
`
	if m.String() != want {
		t.Errorf("%s", m.String())
	}
}
