package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// parseEnvFile reads the text of an environment file into settings NAME=value,
// as systemd reads an EnvironmentFile= since version 254: before, a comment that
// ends with a backslash takes the next line along. Where systemd leaves
// something out or guesses, this is an error: a variable that is silently
// missing is worse than a process that does not start.
//
// The error names the line, and never quotes it: it may be part of a secret.
func parseEnvFile(text string) ([]string, error) {
	s := envScanner{text: text}
	if err := s.checkCharacters(); err != nil {
		return nil, err
	}
	var settings []string
	for s.nextLine() {
		setting, err := s.setting()
		if err != nil {
			return nil, err
		}
		settings = append(settings, setting)
	}
	return settings, nil
}

// What the syntax is made of.
const (
	envLineEnds = "\n\r"
	envBlanks   = " \t"
	// envEscapable may stand behind a backslash in double quotes; before
	// anything else the backslash stays.
	envEscapable = "\"\\`$"
)

// envScanner reads a text from pos on.
type envScanner struct {
	text string
	pos  int
}

// wrong says what is wrong with the line that holds the byte at pos.
func (s *envScanner) wrong(pos int, what string) error {
	return fmt.Errorf("line %d %s", 1+strings.Count(s.text[:pos], "\n"), what)
}

// checkCharacters refuses what systemd refuses, and what no environment holds.
func (s *envScanner) checkCharacters() error {
	for i, r := range s.text {
		switch {
		case r == 0:
			return s.wrong(i, "contains a zero byte")
		case r == utf8.RuneError && !strings.HasPrefix(s.text[i:], "\uFFFD"):
			return s.wrong(i, "is not valid UTF-8")
		}
	}
	return nil
}

// nextLine skips blank lines and comments; false is the end.
func (s *envScanner) nextLine() bool {
	for {
		s.skip(envBlanks + envLineEnds)
		if s.pos == len(s.text) {
			return false
		}
		if c := s.text[s.pos]; c != '#' && c != ';' {
			return true
		}
		s.upTo(envLineEnds)
	}
}

func (s *envScanner) skip(chars string) {
	s.pos = len(s.text) - len(strings.TrimLeft(s.text[s.pos:], chars))
}

// upTo returns what lies before the next of the characters, or the end, and
// goes there.
func (s *envScanner) upTo(chars string) string {
	from := s.pos
	if n := strings.IndexAny(s.text[from:], chars); n >= 0 {
		s.pos = from + n
	} else {
		s.pos = len(s.text)
	}
	return s.text[from:s.pos]
}

// take returns the next character and goes past it; ok is false at the end.
func (s *envScanner) take() (c byte, ok bool) {
	if s.pos == len(s.text) {
		return 0, false
	}
	s.pos++
	return s.text[s.pos-1], true
}

func (s *envScanner) setting() (string, error) {
	start := s.pos
	name := strings.TrimRight(s.upTo("="+envLineEnds), envBlanks)
	if c, ok := s.take(); !ok || c != '=' {
		return "", s.wrong(start, "is no setting NAME=value")
	}
	if !isEnvName(name) {
		return "", s.wrong(start, "has no valid name before the = (letters, digits and _, no digit first; no export)")
	}
	value, err := s.value()
	return name + "=" + value, err
}

func isEnvName(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// value joins quoted parts, whatever blanks are between them. The first part
// without quotes goes to the end of the line; in it quotes mean nothing.
func (s *envScanner) value() (string, error) {
	var value strings.Builder
	for {
		s.skip(envBlanks)
		start := s.pos
		c, ok := s.take()
		switch {
		case !ok || strings.IndexByte(envLineEnds, c) >= 0:
			return value.String(), nil
		case c == '\'' && !s.single(&value), c == '"' && !s.double(&value):
			return "", s.wrong(start, "begins a quotation that does not end")
		case c != '\'' && c != '"':
			s.pos = start
			value.WriteString(s.bare())
			return value.String(), nil
		}
	}
}

// single reads the rest of a part in single quotes; false means that it does
// not end.
func (s *envScanner) single(value *strings.Builder) bool {
	value.WriteString(s.upTo("'"))
	_, ended := s.take()
	return ended
}

// double reads the rest of a part in double quotes; false means that it does
// not end.
func (s *envScanner) double(value *strings.Builder) bool {
	for {
		value.WriteString(s.upTo(`"\`))
		if c, ok := s.take(); !ok || c == '"' {
			return ok
		}
		c, ok := s.take()
		switch {
		case !ok:
			return false
		case strings.IndexByte(envEscapable, c) >= 0:
			value.WriteByte(c)
		case c != '\n': // which goes with its backslash
			value.WriteByte('\\')
			value.WriteByte(c)
		}
	}
}

// bare reads up to the end of the line, without blanks there unless a backslash
// protects them. A line end behind a backslash goes with it.
func (s *envScanner) bare() string {
	var value []byte
	protected := 0 // how much of value is not trimmed
	for {
		value = append(value, s.upTo(`\`+envLineEnds)...)
		if c, ok := s.take(); !ok || c != '\\' {
			break
		}
		if c, ok := s.take(); ok && strings.IndexByte(envLineEnds, c) < 0 {
			value = append(value, c)
		}
		protected = len(value)
	}
	tail := strings.TrimRight(string(value[protected:]), envBlanks)
	return string(value[:protected]) + tail
}
