package unitgen

import (
	"path/filepath"
	"strings"
)

// Text is the unit as a unit file. Two properties have no place in one: AddRef
// and PIDs.
func (u Unit) Text() string {
	kind := kindSection(u.Name)
	var b strings.Builder
	for _, section := range []string{"Unit", kind} {
		text := u.sectionText(section, kind)
		if text == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("[" + section + "]\n" + text)
	}
	return b.String()
}

// kindSection is the section of a unit's own kind: "Service" of a .service.
func kindSection(name string) string {
	kind := strings.TrimPrefix(filepath.Ext(name), ".")
	return strings.ToUpper(kind[:1]) + kind[1:]
}

func (u Unit) sectionText(section, kind string) string {
	var b strings.Builder
	for _, property := range u.Properties {
		s := lookup(property.Name)
		if s.key == "" || s.section != section && (s.section != "" || section != kind) {
			continue
		}
		for _, text := range s.write(property.Value) {
			b.WriteString(s.key + "=" + text + "\n")
		}
	}
	return b.String()
}
