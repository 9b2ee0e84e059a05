package main

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A screen is where output goes: a terminal with a width and perhaps colours,
// or anything else.
type screen struct {
	io.Writer
	terminal bool
	width    int // columns; 0 is without limit
	colours  bool
}

const usualWidth = 80 // of a terminal that does not tell

// newScreen finds out what f is.
func newScreen(f *os.File, getenv func(string) string) *screen {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return &screen{Writer: f}
	}
	s := &screen{Writer: f, terminal: true, width: int(size.Col)}
	if s.width == 0 {
		s.width = usualWidth
	}
	s.colours = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	return s
}

func (s *screen) bold(text string) string   { return s.paint("1", text) }
func (s *screen) dim(text string) string    { return s.paint("2", text) }
func (s *screen) red(text string) string    { return s.paint("31", text) }
func (s *screen) green(text string) string  { return s.paint("32", text) }
func (s *screen) yellow(text string) string { return s.paint("33", text) }

func (s *screen) paint(code, text string) string {
	if !s.colours || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// cut shortens text to at most width columns; width 0 is without limit.
func cut(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// pad fills text up to width columns.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// printable replaces what would move the cursor or change the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '�'
		}
		return r
	}, text)
}
