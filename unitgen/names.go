package unitgen

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"rollbridge/supervisor/config"
)

// prefix begins the name of every unit.
const prefix = "rollbridge-"

// maxName is the longest name, in bytes; systemd takes 255. An application takes
// no more than maxApplication of it.
const (
	maxName        = 200
	maxApplication = 80
)

// ServiceName, ScopeName and SliceName are the names of units; no two processes
// share one, nor do two generations of a release. A singleton and a persistent
// service have one name for all releases: systemd itself refuses a second one.
func ServiceName(spec config.Spec) string {
	if isFixed(spec) {
		return name(".service", application(spec.Application), escape(spec.Process))
	}
	parts := []string{application(spec.Application), escape(spec.Process), release(spec)}
	if spec.Instance != spec.Process {
		parts = append(parts, strconv.Itoa(spec.Replica))
	}
	return name(".service", parts...)
}

// ScopeName is the name of the scope of the n-th instance of a process.
func ScopeName(spec config.Spec, n int) string {
	return name(".scope", application(spec.Application), escape(spec.Process), release(spec), strconv.Itoa(n))
}

// SliceName is the name of the slice of everything an application runs. A dash
// would nest it in the slice of another application.
func SliceName(app string) string {
	return name(".slice", strings.ReplaceAll(application(app), "-", hexEscape('-')))
}

// Pattern is the glob (fnmatch(3), without escapes) that the services and scopes
// of an application match, and no other unit of ours.
func Pattern(app string) string { return prefix + application(app) + ".*" }

// application is the part of a name that all units of an application share. It
// is shortened by itself, so that what is cut from a name never reaches it.
func application(app string) string { return fit(escape(app), maxApplication) }

// isFixed reports whether a process belongs to no release.
func isFixed(spec config.Spec) bool {
	return spec.Policy == config.Singleton || spec.Policy == config.Service && spec.Strategy != config.Handoff
}

// release tells the generations of a release id apart.
func release(spec config.Spec) string {
	if spec.Generation > 1 {
		return escape(spec.Release) + ":" + strconv.Itoa(spec.Generation)
	}
	return escape(spec.Release)
}

// escape makes a text a part of a name, in the way of systemd-escape. Dots and
// colons separate parts, so none is left within one.
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if isPlain(c) || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			b.WriteString(hexEscape(c))
		}
	}
	return b.String()
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func hexEscape(c byte) string { return fmt.Sprintf(`\x%02x`, c) }

// name joins escaped parts.
func name(suffix string, parts ...string) string {
	return fit(prefix+strings.Join(parts, "."), maxName-len(suffix)) + suffix
}

// fit cuts what is longer than n bytes and marks it with a digest of the whole,
// behind two colons, which nothing uncut has.
func fit(text string, n int) string {
	if len(text) <= n {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	mark := "::" + hex.EncodeToString(sum[:16])
	return cut(text, n-len(mark)) + mark
}

// cut shortens a text to n bytes or somewhat less, never within an escape.
func cut(text string, n int) string {
	const escapeLength = len(`\x00`)
	short := text[:n]
	if i := strings.LastIndexByte(short, '\\'); i >= 0 && i+escapeLength > n {
		return short[:i]
	}
	return short
}
