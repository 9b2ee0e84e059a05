package unitgen

import (
	"strconv"
	"strings"
	"unicode"

	"rollbridge/supervisor/config"
)

// journal says how the unit's lines appear in the journal. A user's own manager
// cannot have journald add fields to lines or lift its limits.
func (p *Properties) journal(spec config.Spec, h Host) {
	p.add("SyslogIdentifier", identifier(spec))
	if h.User {
		return
	}
	p.add("LogExtraFields", fields(spec))
	p.add("LogRateLimitIntervalUSec", uint64(0))
}

// identifier marks what the gate says itself, like the lines of its command:
// "shop.worker#2@v42", and from the second generation on "shop.worker#2@v42+2".
func identifier(spec config.Spec) string {
	text := spec.Application + "." + spec.Instance
	if !changesRelease(spec) {
		text += "@" + spec.Release
		if spec.Generation > 1 {
			text += "+" + strconv.Itoa(spec.Generation)
		}
	}
	return OneLine(text)
}

// fields are the journal fields of every line of the unit. Over the restarts of
// a persistent service the release changes, and the unit does not.
func fields(spec config.Spec) [][]byte {
	all := [][]byte{
		field("ROLLBRIDGE_APPLICATION", spec.Application),
		field("ROLLBRIDGE_PROCESS", spec.Instance),
	}
	if changesRelease(spec) {
		return all
	}
	return append(all, field("ROLLBRIDGE_RELEASE", spec.Release))
}

// field is a journal field. Spaces are escaped: after a daemon-reload systemd
// would cut the value there.
func field(name, value string) []byte {
	return []byte(name + "=" + strings.ReplaceAll(value, " ", hexEscape(' ')))
}

// changesRelease reports whether the next start of the unit may be of another
// release.
func changesRelease(spec config.Spec) bool {
	return isFixed(spec) && spec.Policy != config.Singleton
}

// description names the process, its release and its user, as systemd says
// that it starts and stops it.
func description(spec config.Spec) string {
	text := spec.Application + ": " + spec.Instance
	if !changesRelease(spec) {
		text += " of release " + spec.Release
		if spec.Generation > 1 {
			text += ", generation " + strconv.Itoa(spec.Generation)
		}
	}
	if spec.User != "" {
		text += " (user " + spec.User + ")"
	}
	return OneLine(text)
}

// OneLine leaves out what a line of a unit file cannot hold as it is: control
// characters, space around it, a backslash at its end.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.TrimRight(strings.TrimSpace(text), ` \`)
}
