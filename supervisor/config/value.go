package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// maxDuration bounds every duration, so that sums of a few cannot overflow.
const maxDuration = 100 * 365 * 24 * time.Hour

// maxProblems bounds what is kept of a hopeless file.
const maxProblems = 1000

// lineEnd is what YAML takes for the end of a line.
var lineEnd = regexp.MustCompile(`\r\n|[\n\r\x{85}\x{2028}\x{2029}]`)

// reader collects the problems of one file while its values are read.
type reader struct {
	file     string
	lines    []string
	opt      Options
	accounts map[string]account
	problems Problems
	expected []expectation
}

func newReader(file string, src []byte, opt Options) *reader {
	text := strings.TrimPrefix(string(src), "\ufeff")
	return &reader{
		file:     file,
		lines:    lineEnd.Split(text, -1),
		opt:      opt,
		accounts: map[string]account{},
	}
}

// line is the text of a line, counted from 1; "" outside the file.
func (r *reader) line(n int) string {
	if n < 1 || n > len(r.lines) {
		return ""
	}
	return r.lines[n-1]
}

// lastLine is the number of the last line that is a line and not only the
// line end of the one before.
func (r *reader) lastLine() int {
	n := len(r.lines)
	if n > 1 && r.lines[n-1] == "" {
		n--
	}
	return n
}

// report notes a problem at a node.
func (r *reader) report(at *yaml.Node, path, message, fix string) {
	if len(r.problems) >= maxProblems {
		return
	}
	p := r.place(at, path)
	p.Message, p.Fix = clip(message, 1000), clip(fix, 1000)
	r.problems = append(r.problems, p)
}

// place is a problem at a node that is not told yet. The place is kept inside
// the file: YAML puts what is missing at the end behind the last line.
func (r *reader) place(at *yaml.Node, path string) Problem {
	line, column := max(1, at.Line), at.Column
	if last := r.lastLine(); line > last {
		line, column = last, math.MaxInt
	}
	source := strings.ToValidUTF8(r.line(line), "\ufffd")
	column = max(1, min(column, len([]rune(source))+1))
	return Problem{File: r.file, Line: line, Column: column, Path: clip(path, 300), source: source}
}

// value is what one key holds. A value that is not given has a nil node; its
// problems then point at the mapping that lacks it.
type value struct {
	r    *reader
	path string     // full key: proxy.port, processes[1].env.A
	key  string     // the last part of it; "" for an item of a list
	node *yaml.Node // never an alias
	at   *yaml.Node // where its problems point
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// wrong reports that the value breaks a rule: "must be a string".
func (v value) wrong(rule, fix string) { v.complain(v.path+" "+rule, fix) }

// complain reports a problem in a message of its own.
func (v value) complain(message, fix string) { v.r.report(v.at, v.path, message, fix) }

// set begins a fix and ends it with an example line.
func (v value) set(to, example string) string {
	return fmt.Sprintf("set %s to %s, for example `%s: %s`", v.path, to, v.key, example)
}

func (v value) present() bool { return v.node != nil }
func (v value) isNull() bool  { return v.node != nil && v.tag() == "!!null" }
func (v value) given() bool   { return v.present() && !v.isNull() }

// tag is the type of a scalar, "" for everything else.
func (v value) tag() string {
	if v.node == nil || v.node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.node.ShortTag()
}

// asText returns the text of a string; a bare date is a string too.
func (v value) asText() (string, bool) {
	if t := v.tag(); t != "!!str" && t != "!!timestamp" {
		return "", false
	}
	return v.node.Value, true
}

// text reads an optional string.
func (v value) text(fallback string) string {
	if !v.given() {
		return fallback
	}
	s, ok := v.asText()
	if !ok {
		v.wrong("must be a string", v.stringFix())
		return fallback
	}
	if strings.ContainsRune(s, 0) {
		v.wrong("must not contain a NUL character", "remove \\0 from "+v.path)
		return fallback
	}
	return s
}

// words reads an optional string that must say something when it is given.
func (v value) words(fallback, example string) string {
	s := v.text(fallback)
	if given, ok := v.asText(); ok && strings.TrimSpace(given) == "" {
		v.wrong("must not be empty", v.set("a string", example))
		return fallback
	}
	return s
}

// required reads a string that must be given and say something.
func (v value) required(example string) string {
	if !v.given() {
		v.wrong("is required", v.set("a string", example))
		return ""
	}
	s := v.text("")
	if _, ok := v.asText(); ok && strings.TrimSpace(s) == "" {
		v.wrong("must not be empty", v.set("a string", example))
		return ""
	}
	return s
}

func (v value) stringFix() string {
	if v.node.Kind == yaml.ScalarNode {
		return fmt.Sprintf("set %s to a string; put it in quotes: `%s: %q`", v.path, v.key, clip(v.node.Value, 60))
	}
	return v.set("a string", `"text"`)
}

// asNumber returns the value of a finite number.
func (v value) asNumber() (float64, bool) {
	if t := v.tag(); t != "!!int" && t != "!!float" {
		return 0, false
	}
	return parseNumber(v.node.Value)
}

// parseNumber reads a number as YAML writes it. Decimal digits behind a zero
// are refused: YAML 1.1 reads them as octal, 1.2 does not.
func parseNumber(s string) (float64, bool) {
	s = strings.ReplaceAll(s, "_", "")
	digits := strings.TrimLeft(s, "+-")
	if len(digits) > 1 && digits[0] == '0' && strings.ContainsAny(digits[1:2], "xob") {
		n, err := strconv.ParseInt(s, 0, 64)
		return float64(n), err == nil
	}
	if len(digits) > 1 && digits[0] == '0' && !strings.ContainsAny(digits[1:2], ".eE") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// number reads an optional number, and says whether it is one.
func (v value) number(fallback float64, example string) (float64, bool) {
	if !v.given() {
		return fallback, true
	}
	f, ok := v.asNumber()
	if !ok {
		v.wrong("must be a number", v.set("a finite number without quotes or leading zeros", example))
		return fallback, false
	}
	return f, true
}

// duration reads an optional number of milliseconds that is not negative.
func (v value) duration(fallback time.Duration) time.Duration {
	return v.bounded(fallback, func(f float64) bool { return f >= 0 }, "must be a non-negative number", "a non-negative number of milliseconds")
}

// positiveDuration reads an optional number of milliseconds above 0.
func (v value) positiveDuration(fallback time.Duration) time.Duration {
	if _, ok := v.asNumber(); v.given() && !ok {
		v.wrong("must be a positive number", v.set("a positive number of milliseconds", millis(fallback)))
		return fallback
	}
	return v.bounded(fallback, func(f float64) bool { return toDuration(f) > 0 }, "must be a positive number", "a positive number of milliseconds")
}

func (v value) bounded(fallback time.Duration, allowed func(float64) bool, rule, kind string) time.Duration {
	example := millis(fallback)
	ms, ok := v.number(0, example)
	switch {
	case !ok || !v.given():
		return fallback
	case ms > millisOf(maxDuration):
		v.wrong("must be at most "+millis(maxDuration), v.set("a number of milliseconds, 100 years at most", example))
		return fallback
	case !allowed(ms):
		v.wrong(rule, v.set(kind, example))
		return fallback
	}
	return toDuration(ms)
}

func toDuration(ms float64) time.Duration   { return time.Duration(ms * float64(time.Millisecond)) }
func millisOf(d time.Duration) float64      { return float64(d) / float64(time.Millisecond) }
func millis(d time.Duration) string         { return strconv.FormatFloat(millisOf(d), 'f', -1, 64) }
func isInteger(f float64) bool              { return f == math.Trunc(f) }
func inRange(f float64, low, high int) bool { return f >= float64(low) && f <= float64(high) }

// integer reads an optional integer from low (0 or 1) to high.
func (v value) integer(fallback, low, high int, example string) int {
	if !v.given() {
		return fallback
	}
	f, ok := v.asNumber()
	switch {
	case !ok || !isInteger(f) || f < float64(low):
		kind := integerKind(low)
		v.wrong("must be a "+kind, v.set("a "+kind, example))
		return fallback
	case f > float64(high):
		v.wrong(fmt.Sprintf("must be at most %d", high), v.set(fmt.Sprintf("an integer of at most %d", high), example))
		return fallback
	}
	return int(f)
}

func integerKind(low int) string {
	if low > 0 {
		return "positive integer"
	}
	return "non-negative integer"
}

// boolean reads an optional boolean.
func (v value) boolean(fallback bool) bool {
	switch {
	case !v.given():
		return fallback
	case v.tag() != "!!bool":
		v.wrong("must be a boolean", "set "+v.path+" to true or false, without quotes")
		return fallback
	}
	return strings.EqualFold(v.node.Value, "true")
}

// oneOf reads an optional choice.
func (v value) oneOf(fallback string, choices ...string) (string, bool) {
	if !v.given() {
		return fallback, true
	}
	s, _ := v.asText()
	for _, c := range choices {
		if s == c {
			return s, true
		}
	}
	v.wrong("must be one of: "+strings.Join(choices, ", "), v.set("one of "+strings.Join(choices, ", "), nearest(s, choices, fallback)))
	return fallback, false
}

// items reads an array; ok is false, and the problem reported, when it is none.
func (v value) items(fix string) (items []value, ok bool) {
	if v.node == nil || v.node.Kind != yaml.SequenceNode {
		v.wrong("must be an array", fix)
		return nil, false
	}
	for i, n := range v.node.Content {
		n = follow(n)
		items = append(items, value{r: v.r, path: fmt.Sprintf("%s[%d]", v.path, i), node: n, at: n})
	}
	return items, true
}

// clip cuts a text to a number of bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
