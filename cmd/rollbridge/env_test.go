package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// testEnv is a world of its own: buffers, a fixed clock and no environment.
type testEnv struct {
	*env
	out, err bytes.Buffer
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	te := new(testEnv)
	te.env = &env{
		Stdin:  strings.NewReader(""),
		Stdout: &screen{Writer: &te.out},
		Stderr: &screen{Writer: &te.err},
		Dir:    t.TempDir(),
		Getenv: func(string) string { return "" },
		Now:    func() time.Time { return clock },
	}
	return te
}

var clock = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// ago is a time stamp of the daemon.
func ago(d time.Duration) string { return clock.Add(-d).Format("2006-01-02T15:04:05.000Z07:00") }

// onTerminal makes both outputs terminals of a width.
func (te *testEnv) onTerminal(width int, colours bool) {
	for _, s := range []*screen{te.Stdout, te.Stderr} {
		s.terminal, s.width, s.colours = true, width, colours
	}
}
