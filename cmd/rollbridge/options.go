package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// quick is how long a command waits whose answer takes no work.
const quick = 10 * time.Second

// target says which daemon a command talks to, and how long it waits.
type target struct {
	config  string
	timeout time.Duration // 0 waits as long as the daemon is alive
}

func (t *target) flags(f *pflag.FlagSet, timeout time.Duration) {
	configFlag(f, &t.config)
	text := "<duration> how long to wait for the answer (default " + timeout.String() + ")"
	if timeout == 0 {
		text = "<duration> how long to wait for the answer (default: while the daemon is alive)"
	}
	f.DurationVar(&t.timeout, "timeout", timeout, text)
}

func configFlag(f *pflag.FlagSet, path *string) {
	f.StringVarP(path, "config", "c", "", "<path> configuration file, or an instance by its name (default: rollbridge.yaml, .yml or .json here, else the instance rollbridge)")
}

// format says how a result is printed.
type format struct{ json, text bool }

// flags adds --json and --text, for a result that is JSON unless a person reads it.
func (o *format) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.json, "json", false, "print JSON (default when stdout is no terminal)")
	f.BoolVar(&o.text, "text", false, "print text for people (default on a terminal)")
}

// check refuses both at once.
func (o *format) check() error {
	if o.json && o.text {
		return usageFault("--json and --text exclude each other", "")
	}
	return nil
}

// wantsText decides for the given screen.
func (o *format) wantsText(s *screen) bool {
	return o.text || s.terminal && !o.json
}

// absolute resolves a path given on the command line.
func (e *env) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(e.Dir, path)
}

// A count is an option value that is a positive whole number.
type count struct {
	option string
	n      *int
}

func (c count) String() string {
	if c.n == nil || *c.n == 0 {
		return ""
	}
	return strconv.Itoa(*c.n)
}

func (c count) Type() string { return "number" }

func (c count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return usageFault("--"+c.option+" must be a positive integer.", "for example --"+c.option+" 20")
	}
	*c.n = n
	return nil
}

// A choice is an option value that is one of a few words.
type choice struct {
	option string
	words  []string
	word   *string
}

func (c choice) String() string {
	if c.word == nil {
		return ""
	}
	return *c.word
}

func (c choice) Type() string { return strings.Join(c.words, "|") }

func (c choice) Set(text string) error {
	if !slices.Contains(c.words, text) {
		return usageFault("--"+c.option+" must be one of: "+strings.Join(c.words, ", ")+".", "")
	}
	*c.word = text
	return nil
}

// milliseconds is an option value that is a positive number of milliseconds.
type milliseconds struct {
	option string
	n      *int
}

func (m milliseconds) String() string {
	if m.n == nil {
		return ""
	}
	return strconv.Itoa(*m.n)
}

func (m milliseconds) Type() string { return "number" }

func (m milliseconds) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 1) || v > maxMilliseconds {
		return usageFault("--"+m.option+" must be a positive number", "for example --"+m.option+" 10000")
	}
	*m.n = int(v)
	return nil
}

const maxMilliseconds = float64(365 * 24 * time.Hour / time.Millisecond)
