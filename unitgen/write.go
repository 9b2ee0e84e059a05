package unitgen

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The functions here write the value of a property as the values of one or more
// lines of a unit file (systemd.syntax(7), systemd.unit(5)).

// plain is a text that takes the rest of the line. It has to be a text that
// OneLine leaves alone.
func plain(value any) []string { return []string{specifiers(value.(string))} }

// words are unit names, which keep their backslashes.
func words(value any) []string {
	return []string{specifiers(strings.Join(value.([]string), " "))}
}

// instead is a list of texts that takes the place of what the unit had.
func instead(value any) []string {
	lines := []string{""}
	for _, text := range value.([]string) {
		lines = append(lines, specifiers(text))
	}
	return lines
}

// mode is the permissions of a file.
func mode(value any) []string { return []string{fmt.Sprintf("%#04o", value.(uint32))} }

// quotedWords are texts of any kind, each on a line of its own.
func quotedWords(value any) (lines []string) {
	switch all := value.(type) {
	case []string:
		for _, text := range all {
			lines = append(lines, quoted(text))
		}
	case [][]byte:
		for _, text := range all {
			lines = append(lines, quoted(string(text)))
		}
	default:
		panic(fmt.Sprintf("unitgen: %T is no list of texts", value))
	}
	return lines
}

func commands(value any) (lines []string) {
	for _, c := range value.(ExecCommands) {
		line := quoted(c.Path)
		if c.IgnoreFailure {
			line = "-" + line
		}
		for _, arg := range c.Argv[1:] { // the first one is the path
			line += " " + quoted(arg)
		}
		lines = append(lines, line)
	}
	return lines
}

func truth(value any) []string {
	if value.(bool) {
		return []string{"yes"}
	}
	return []string{"no"}
}

func number(value any) []string {
	return []string{strconv.FormatUint(uint64(value.(uint32)), 10)}
}

// size is a number of bytes.
func size(value any) []string { return []string{orInfinity(value.(uint64))} }

func orInfinity(n uint64) string {
	if n == Infinity {
		return "infinity"
	}
	return strconv.FormatUint(n, 10)
}

// span is a time in its largest whole unit.
func span(value any) []string {
	n := value.(uint64)
	if n == 0 || n == Infinity {
		return []string{orInfinity(n)}
	}
	text := orInfinity(n) + "us"
	for _, unit := range []struct {
		name   string
		micros uint64
	}{{"ms", 1e3}, {"s", 1e6}, {"min", 60e6}, {"h", 3600e6}} {
		if n%unit.micros == 0 {
			text = orInfinity(n/unit.micros) + unit.name
		}
	}
	return []string{text}
}

func signal(value any) []string { return []string{signalName(value.(int32))} }

// statuses are exit codes and signals; a signal as a number would be a code.
func statuses(value any) []string {
	var all []string
	for _, code := range value.(ExitStatuses).Codes {
		all = append(all, strconv.Itoa(int(code)))
	}
	for _, n := range value.(ExitStatuses).Signals {
		all = append(all, signalName(n))
	}
	return []string{strings.Join(all, " ")}
}

// signalName is systemd's name of a signal. The real-time ones begin where the
// C library lets them.
func signalName(n int32) string {
	const realTimeMin = 34
	if n >= realTimeMin {
		return fmt.Sprintf("SIGRTMIN+%d", n-realTimeMin)
	}
	return unix.SignalName(syscall.Signal(n))
}

// quoted makes a text one word.
func quoted(text string) string {
	text = specifiers(text)
	if isBare(text) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(text) {
		switch {
		case c == '\\' || c == '"':
			b.WriteString(`\` + string(c))
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c == 0x7f:
			b.WriteString(hexEscape(c))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isBare reports whether a text is one word without quotes.
func isBare(text string) bool {
	for _, c := range []byte(text) {
		if !isPlain(c) && !strings.ContainsRune("/._-=:,+%", rune(c)) {
			return false
		}
	}
	return text != ""
}

// specifiers keeps systemd from seeing specifiers such as %n in a text.
func specifiers(text string) string { return strings.ReplaceAll(text, "%", "%%") }
