package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxExpansion bounds the values (and every 64 bytes of text) that a file may
// stand for once its aliases are followed.
const maxExpansion = 1_000_000

// document reads the one YAML document of a file. An empty file reads as nil.
// It is safe to walk: no value contains itself, and aliases multiply it to a
// bounded size. When ok is false, the problem is reported.
func (r *reader) document(src []byte) (root *yaml.Node, ok bool) {
	if !r.plainText() {
		return nil, false
	}
	loader, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, r.syntax(err)
	}
	var doc, next yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return nil, true
	} else if err != nil {
		return nil, r.syntax(err)
	}
	if err := loader.Load(&next); err == nil {
		r.report(&next, "", "the file holds more than one YAML document",
			"keep one document: remove the line --- and what follows it, or make it a file of its own")
		return nil, false
	} else if !errors.Is(err, io.EOF) {
		return nil, r.syntax(err)
	}
	root = doc.Content[0]
	if !r.walkable(root) {
		return nil, false
	}
	return root, true
}

// plainText makes sure that the file is UTF-8 without control characters; the
// YAML reader would not say where it is not.
func (r *reader) plainText() bool {
	for i, line := range r.lines {
		column := 1
		for rest := line; rest != ""; column++ {
			c, size := utf8.DecodeRuneInString(rest)
			at := &yaml.Node{Line: i + 1, Column: column}
			switch {
			case c == utf8.RuneError && size == 1:
				r.report(at, "", fmt.Sprintf("invalid UTF-8: byte 0x%02x", rest[0]), "save the file as UTF-8 text")
				return false
			case c < ' ' && c != '\t', c == 0x7f, c == 0xfffe, c == 0xffff:
				r.report(at, "", fmt.Sprintf("control character U+%04X", c),
					"remove it, or write it as an escape in a double-quoted string")
				return false
			}
			rest = rest[size:]
		}
	}
	return true
}

// syntax reports a YAML error; it returns false for document.
func (r *reader) syntax(err error) bool {
	at := &yaml.Node{Line: 1, Column: 1}
	message, fix := err.Error(), "correct the YAML of this line"
	var load *yaml.LoadError
	if errors.As(err, &load) {
		message = strings.TrimPrefix(load.ContextMsg+": "+load.Message, ": ")
		at = &yaml.Node{Line: load.Mark.Line, Column: load.Mark.Column}
		fix = r.syntaxFix(load)
	}
	r.report(at, "", "invalid YAML: "+message, fix)
	return false
}

func (r *reader) syntaxFix(err *yaml.LoadError) string {
	indent := r.line(err.Mark.Line)
	indent = indent[:len(indent)-len(strings.TrimLeft(indent, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "indent the line with spaces: YAML does not allow tabs there"
	case strings.Contains(err.Message, "mapping values are not allowed"):
		return `put the value in quotes when it contains ": ", or correct the indentation of the line`
	case strings.Contains(err.Message, "unknown anchor"):
		return "define the anchor (&name) before the alias (*name), or put the value in quotes when it begins with *"
	case err.ContextMark.Line > 0 && err.ContextMark.Line != err.Mark.Line:
		return fmt.Sprintf("look for a missing bracket, quote or wrong indentation in what begins on line %d", err.ContextMark.Line)
	}
	return "correct the YAML of this line: look for a missing bracket or quote, or put the value in quotes"
}

// walkable reports values that contain themselves, and aliases that multiply
// the file beyond any use.
func (r *reader) walkable(root *yaml.Node) bool {
	s := scale{weights: map[*yaml.Node]int{}}
	weight := s.weigh(root)
	switch {
	case s.cycle != nil:
		r.report(s.cycle, "", "the value "+clip("*"+s.cycle.Value, 80)+" contains itself", "remove the alias, or write the value out")
	case weight > maxExpansion:
		r.report(root, "", "aliases make the file too large", "use fewer aliases (*name), or write the values out")
	default:
		return true
	}
	return false
}

// scale finds out how much a node stands for when aliases are followed. Every
// node is looked at once.
type scale struct {
	weights map[*yaml.Node]int
	cycle   *yaml.Node
}

func (s *scale) weigh(n *yaml.Node) int {
	const underWay = -1
	if n.Kind == yaml.AliasNode {
		if s.weights[n.Alias] == underWay {
			s.cycle = n
			return 0
		}
		return s.weigh(n.Alias)
	}
	if w, known := s.weights[n]; known {
		return w
	}
	s.weights[n] = underWay
	w := 1 + len(n.Value)/64
	for _, c := range n.Content {
		w = min(w+s.weigh(c), maxExpansion+1)
	}
	s.weights[n] = w
	return w
}
