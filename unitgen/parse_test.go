package unitgen_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rollbridge/unitgen"
)

// unitFile is a parsed unit file: section, key, and the values of its lines.
type unitFile map[string]map[string][]string

// parseUnitFile reads a unit file as systemd.syntax(7) says.
func parseUnitFile(t *testing.T, text string) unitFile {
	t.Helper()
	file, section := unitFile{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";"):
		case strings.HasSuffix(line, `\`):
			t.Fatalf("line is continued: %q", line)
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			if file[section] == nil {
				file[section] = map[string][]string{}
			}
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("no assignment: %q", line)
			}
			key = strings.TrimRight(key, " ")
			file[section][key] = append(file[section][key], strings.TrimLeft(value, " \t"))
		}
	}
	return file
}

// A reader makes the value of a property of the lines of its key.
type reader func(lines []string) (any, error)

// readers say for each section and key which property it sets, and how it is
// read.
var readers = map[string]map[string]struct {
	property string
	read     reader
}{
	"Unit": {
		"Description":           {"Description", readPlain},
		"Before":                {"Before", readNames},
		"CollectMode":           {"CollectMode", readPlain},
		"StartLimitIntervalSec": {"StartLimitIntervalUSec", readSpan},
		"StartLimitBurst":       {"StartLimitBurst", readUint32},
	},
	"Service": {
		"Slice":                    {"Slice", readPlain},
		"Type":                     {"Type", readPlain},
		"NotifyAccess":             {"NotifyAccess", readPlain},
		"ExecStart":                {"ExecStart", readCommands},
		"ExecStopPost":             {"ExecStopPost", readCommands},
		"Environment":              {"Environment", readTexts},
		"Restart":                  {"Restart", readPlain},
		"RestartSec":               {"RestartUSec", readSpan},
		"RestartPreventExitStatus": {"RestartPreventExitStatus", readStatuses},
		"TimeoutStartSec":          {"TimeoutStartUSec", readTimeout},
		"TimeoutStopSec":           {"TimeoutStopUSec", readTimeout},
		"KillMode":                 {"KillMode", readPlain},
		"KillSignal":               {"KillSignal", readSignal},
		"IgnoreSIGPIPE":            {"IgnoreSIGPIPE", readBool},
		"MemoryAccounting":         {"MemoryAccounting", readBool},
		"MemoryMax":                {"MemoryMax", readSize},
		"OOMPolicy":                {"OOMPolicy", readPlain},
		"SyslogIdentifier":         {"SyslogIdentifier", readPlain},
		"LogExtraFields":           {"LogExtraFields", readFields},
		"LogRateLimitIntervalSec":  {"LogRateLimitIntervalUSec", readSpan},
	},
	"Scope": {
		"Slice":            {"Slice", readPlain},
		"KillMode":         {"KillMode", readPlain},
		"KillSignal":       {"KillSignal", readSignal},
		"TimeoutStopSec":   {"TimeoutStopUSec", readTimeout},
		"MemoryAccounting": {"MemoryAccounting", readBool},
		"MemoryMax":        {"MemoryMax", readSize},
		"OOMPolicy":        {"OOMPolicy", readPlain},
	},
}

// properties reads a unit file back as what the bus would have been told.
func (f unitFile) properties(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{}
	for section, keys := range f {
		for key, lines := range keys {
			r, known := readers[section][key]
			if !known {
				t.Fatalf("[%s] has no %s", section, key)
			}
			value, err := r.read(lines)
			if err != nil {
				t.Fatalf("%s: %v: %q", key, err, lines)
			}
			all[r.property] = value
		}
	}
	return all
}

func readPlain(lines []string) (any, error) {
	if len(lines) != 1 {
		return nil, fmt.Errorf("%d values", len(lines))
	}
	return resolve(lines[0])
}

func readNames(lines []string) (any, error) {
	text, err := readPlain(lines)
	if err != nil {
		return nil, err
	}
	return strings.Fields(text.(string)), nil
}

func readTexts(lines []string) (any, error) {
	var texts []string
	for _, line := range lines {
		words, err := splitWords(line)
		if err != nil {
			return nil, err
		}
		texts = append(texts, words...)
	}
	return texts, nil
}

func readFields(lines []string) (any, error) {
	texts, err := readTexts(lines)
	if err != nil {
		return nil, err
	}
	var fields [][]byte
	for _, text := range texts.([]string) {
		fields = append(fields, []byte(text))
	}
	return fields, nil
}

func readCommands(lines []string) (any, error) {
	var all unitgen.ExecCommands
	for _, line := range lines {
		argv, err := splitWords(line)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(argv[0], "/") {
			return nil, fmt.Errorf("path %q", argv[0])
		}
		all = append(all, unitgen.ExecCommand{Path: argv[0], Argv: argv})
	}
	return all, nil
}

func readBool(lines []string) (any, error) { return lines[0] == "yes", nil }

func readUint32(lines []string) (any, error) {
	n, err := strconv.ParseUint(lines[0], 10, 32)
	return uint32(n), err
}

func readSize(lines []string) (any, error) { return strconv.ParseUint(lines[0], 10, 64) }

// readSpan reads a time, which has one unit here.
func readSpan(lines []string) (any, error) {
	text := lines[0]
	switch text {
	case "infinity":
		return uint64(unitgen.Infinity), nil
	case "0":
		return uint64(0), nil
	}
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		return nil, fmt.Errorf("no unit")
	}
	n, err := strconv.ParseUint(text[:i], 10, 64)
	factor := map[string]uint64{"us": 1, "ms": 1000, "s": 1e6, "min": 60e6, "h": 3600e6}[text[i:]]
	if factor == 0 || n > unitgen.Infinity/factor {
		return nil, fmt.Errorf("unit, or too long")
	}
	return n * factor, err
}

// readTimeout reads a time-out, of which 0 is none.
func readTimeout(lines []string) (any, error) {
	value, err := readSpan(lines)
	if value == uint64(0) {
		return nil, fmt.Errorf("0 would be infinity")
	}
	return value, err
}

func readSignal(lines []string) (any, error) { return signalNumber(lines[0]) }

func signalNumber(name string) (int32, error) {
	name = strings.TrimPrefix(name, "SIG") // both are in use
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return int32(n), nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "RTMIN+"))
	return int32(34 + n), err
}

func readStatuses(lines []string) (any, error) {
	s := unitgen.ExitStatuses{Codes: []int32{}, Signals: []int32{}}
	for _, word := range strings.Fields(lines[0]) {
		if code, err := strconv.Atoi(word); err == nil {
			s.Codes = append(s.Codes, int32(code))
			continue
		}
		n, err := signalNumber(word)
		if err != nil {
			return nil, err
		}
		s.Signals = append(s.Signals, n)
	}
	return s, nil
}

// splitWords splits a value as systemd does: quotes, escapes of C, and after
// that specifiers, of which only %% is allowed here.
func splitWords(line string) ([]string, error) {
	var words []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		word, rest, err := firstWord(line)
		if err != nil {
			return nil, err
		}
		text, err := resolve(word)
		if err != nil {
			return nil, err
		}
		words, line = append(words, text), rest
	}
	return words, nil
}

func firstWord(line string) (word, rest string, err error) {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			value, n, err := unescape(line[i+1:])
			if err != nil {
				return "", "", err
			}
			b.WriteByte(value)
			i += n
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case c == ' ' || c == '\t':
			return b.String(), line[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("open quote")
	}
	return b.String(), "", nil
}

// unescape reads what follows a backslash, and says how long that is.
func unescape(s string) (value byte, length int, err error) {
	simple := map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11, '\\': '\\', '"': '"', '\'': '\'', 's': ' '}
	if s == "" {
		return 0, 0, fmt.Errorf("lone backslash")
	}
	if c, ok := simple[s[0]]; ok {
		return c, 1, nil
	}
	if s[0] != 'x' || len(s) < 3 {
		return 0, 0, fmt.Errorf("escape \\%c", s[0])
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	if n == 0 && err == nil {
		err = fmt.Errorf("NUL")
	}
	return byte(n), 3, err
}

func resolve(text string) (string, error) {
	if strings.Contains(strings.ReplaceAll(text, "%%", ""), "%") {
		return "", fmt.Errorf("specifier in %q", text)
	}
	return strings.ReplaceAll(text, "%%", "%"), nil
}
