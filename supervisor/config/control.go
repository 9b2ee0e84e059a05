package config

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path the kernel binds a Unix socket to.
const maxSocketPath = 107

var octal = regexp.MustCompile(`^(?:0[oO])?([0-7]{1,4})$`)

func (v value) control(c *Config) Control {
	m, _ := v.block("control", fixControl)
	path := m.get("path")
	control := Control{
		Path:  besides(c.File, path.words("", "/run/rollbridge/control.sock")),
		Mode:  m.get("mode").mode(),
		Owner: m.get("owner").principal(),
		Group: m.get("group").principal(),
	}
	if control.Path == "" {
		control.Path = v.r.opt.Places(c.File, c.Application).Control
	}
	m.get("owner").knownUser(control.Owner)
	m.get("group").knownGroup(control.Group)
	if len(control.Path) > maxSocketPath {
		path.wrong(fmt.Sprintf("must be at most %d bytes long: %s", maxSocketPath, clip(control.Path, 200)),
			path.set("a shorter path", "/run/rollbridge/control.sock"))
	}
	if c.Proxy.listensOn(control.Path) {
		path.wrong("must not be an address of proxy.listen: "+control.Path, path.set("another path", "/run/rollbridge/control.sock"))
	}
	return control
}

// mode reads an optional file mode. It is octal however it is written, so it
// is read from the text: YAML would take 660 for a decimal number. A bare number
// that would be a mode without use for its owner is decimal after all: 432 is
// how JSON writes 0660.
func (v value) mode() *fs.FileMode {
	if !v.given() {
		return nil
	}
	if t := v.tag(); t == "!!int" || t == "!!str" {
		if found := octal.FindStringSubmatch(v.node.Value); found != nil {
			n, _ := strconv.ParseUint(found[1], 8, 32)
			if mode := fs.FileMode(n); mode <= 0o777 && (t == "!!str" || mode&0o600 == 0o600) {
				return &mode
			}
		}
		if n, err := strconv.ParseUint(v.node.Value, 10, 32); err == nil && t == "!!int" && n <= 0o777 {
			mode := fs.FileMode(n)
			return &mode
		}
	}
	v.wrong("must be an octal file mode between 0 and 0o777", v.set("an octal mode", `"0660"`))
	return nil
}

// principal reads an optional user or group: a name or a number.
func (v value) principal() string {
	if !v.given() {
		return ""
	}
	if f, ok := v.asNumber(); ok && isInteger(f) && inRange(f, 0, maxID) {
		return strconv.Itoa(int(f))
	}
	if s, ok := v.asText(); ok && strings.TrimSpace(s) != "" && isPrintable(s) && !strings.ContainsAny(s, ":/") {
		return s
	}
	v.wrong("must be a non-negative integer id or a name", v.set("a name or a non-negative id", "deploy"))
	return ""
}
