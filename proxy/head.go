package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// framing is what a request head says about the body that follows.
type framing struct {
	length  int64
	chunked bool
	upgrade bool // something else than HTTP may follow
}

// checkHead reads a request head, up to and with its empty line. It refuses
// whatever two readers could understand differently.
func checkHead(head []byte) (framing, error) {
	line, rest, _ := bytes.Cut(head, crlf)
	minor, err := checkRequestLine(line)
	if err != nil {
		return framing{}, err
	}
	h := headReader{minor: minor}
	for {
		line, rest, _ = bytes.Cut(rest, crlf)
		if len(line) == 0 {
			return h.framing()
		}
		if err := h.field(line); err != nil {
			return framing{}, err
		}
	}
}

var crlf = []byte("\r\n")

// checkRequestLine returns the minor version, 0 or 1.
func checkRequestLine(line []byte) (minor byte, err error) {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	if !isToken(method) || !isTarget(method, target) {
		return 0, errors.New("request line is malformed")
	}
	if v := string(version); v != "HTTP/1.1" && v != "HTTP/1.0" {
		return 0, fmt.Errorf("version %q is not served", version)
	}
	return version[len(version)-1] - '0', nil
}

func isTarget(method, target []byte) bool {
	for _, b := range target {
		if b <= ' ' || b == 0x7f {
			return false
		}
	}
	switch {
	case bytes.HasPrefix(target, []byte("/")):
		return true
	case string(target) == "*":
		return string(method) == "OPTIONS"
	}
	return string(method) != "CONNECT" && isAbsolute(target)
}

func isAbsolute(target []byte) bool {
	scheme, rest, found := bytes.Cut(target, []byte("://"))
	return found && len(rest) > 0 && rest[0] != '/' &&
		(bytes.EqualFold(scheme, []byte("http")) || bytes.EqualFold(scheme, []byte("https")))
}

// A headReader collects the fields of a head that frame its body.
type headReader struct {
	minor                   byte
	hosts, lengths, codings int
	length, coding          []byte
	upgrade                 bool
}

func (h *headReader) field(line []byte) error {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || !isToken(name) {
		return fmt.Errorf("header name %.40q is malformed", name)
	}
	if hasControl(value) {
		return fmt.Errorf("header %s has a control character", name)
	}
	value = bytes.Trim(value, " \t")
	switch {
	case bytes.EqualFold(name, []byte("Host")):
		h.hosts++
	case bytes.EqualFold(name, []byte("Content-Length")):
		h.lengths++
		h.length = value
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.codings++
		h.coding = value
	case bytes.EqualFold(name, []byte("Upgrade")):
		h.upgrade = true
	}
	return nil
}

func (h *headReader) framing() (framing, error) {
	switch {
	case h.hosts > 1, h.hosts == 0 && h.minor == 1:
		return framing{}, fmt.Errorf("%d Host headers", h.hosts)
	case h.lengths > 0 && h.codings > 0:
		return framing{}, errors.New("both Content-Length and Transfer-Encoding")
	case h.lengths > 1:
		return framing{}, errors.New("several Content-Length headers")
	case h.codings > 0 && h.minor == 0:
		return framing{}, errors.New("Transfer-Encoding in HTTP/1.0")
	case h.codings > 1, h.codings == 1 && !bytes.EqualFold(h.coding, []byte("chunked")):
		return framing{}, errors.New("Transfer-Encoding is not chunked")
	}
	f := framing{chunked: h.codings == 1}
	if h.lengths == 1 {
		n, err := parseLength(h.length)
		if err != nil {
			return framing{}, err
		}
		f.length = n
	}
	f.upgrade = h.upgrade && f.length == 0 && !f.chunked
	return f, nil
}

func parseLength(value []byte) (int64, error) {
	for _, b := range value {
		if b < '0' || b > '9' {
			return 0, fmt.Errorf("Content-Length %.40q is no number", value)
		}
	}
	if len(value) > 18 {
		return 0, errors.New("Content-Length is out of bounds")
	}
	return strconv.ParseInt(string(value), 10, 64)
}

func hasControl(value []byte) bool {
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return true
		}
	}
	return false
}

func isToken(name []byte) bool {
	for _, b := range name {
		if !tokenBytes[b] {
			return false
		}
	}
	return len(name) > 0
}

var tokenBytes = func() (table [256]bool) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		table[b] = true
	}
	return table
}()
