package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A screen tells people what happens: with colours on a terminal, plainly
// elsewhere.
type screen struct {
	io.Writer
	colours bool
	notes   []string // of the step under way
}

func newScreen(f *os.File) *screen {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	colours := err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &screen{Writer: f, colours: colours}
}

const (
	bold  = "1"
	faint = "2"
	red   = "1;31"
	green = "1;32"
)

func (s *screen) paint(colour, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// A step is one thing that the demo shows.
type step struct {
	name string
	do   func() error
}

// all takes the steps in order, up to the first that fails.
func (s *screen) all(ctx context.Context, steps ...step) error {
	for _, step := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.step(step); err != nil {
			return err
		}
	}
	return nil
}

// step shows a step while it is taken, and how it went.
func (s *screen) step(step step) error {
	began := time.Now()
	if s.colours {
		fmt.Fprintf(s, "%s %s", s.paint(faint, "…"), step.name)
	}
	err := step.do()
	mark := s.paint(green, "ok")
	if err != nil {
		mark = s.paint(red, "no")
	}
	if s.colours {
		fmt.Fprint(s, "\r\x1b[K")
	}
	fmt.Fprintf(s, "%s %s %s\n", mark, step.name, s.paint(faint, fmt.Sprintf("(%.1f s)", time.Since(began).Seconds())))
	for _, note := range s.notes {
		fmt.Fprintf(s, "   %s\n", note)
	}
	s.notes = nil
	if err != nil {
		return fmt.Errorf("%s: %w", step.name, err)
	}
	return nil
}

func (s *screen) title(text string) { fmt.Fprintf(s, "%s\n\n", s.paint(bold, text)) }
func (s *screen) blank()            { fmt.Fprintln(s) }

// note is a line to print below the step under way.
func (s *screen) note(text string) { s.notes = append(s.notes, text) }

func (s *screen) problem(err error) {
	fmt.Fprintf(s, "\n%s %v\n", s.paint(red, "error:"), err)
}

// last is the verdict.
func (s *screen) last(text string, good bool) {
	colour := green
	if !good {
		colour = red
	}
	fmt.Fprintln(s, s.paint(colour, text))
}
