package gate

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"rollbridge/supervisor/config"
)

// plain is a Definition as encoding/json sees it, without our methods.
type plain Definition

// MarshalJSON writes the definition, with what a newer version had written
// besides.
func (d Definition) MarshalJSON() ([]byte, error) {
	spec, err := d.keptSpec()
	if err != nil {
		return nil, err
	}
	p := plain(d)
	p.Daemon = escapeAll(d.Daemon)
	known, err := json.Marshal(struct {
		plain
		Spec json.RawMessage `json:"spec"`
	}{p, spec})
	if err != nil || len(d.Unknown) == 0 {
		return known, err
	}
	fields := map[string]json.RawMessage{}
	for name, value := range d.Unknown {
		fields[name] = value
	}
	if err := json.Unmarshal(known, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads a definition, and keeps what it does not know.
func (d *Definition) UnmarshalJSON(text []byte) error {
	var p plain
	var unknown map[string]json.RawMessage
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &unknown); err != nil {
		return err
	}
	p.specText = unknown["spec"]
	for _, name := range fieldNames() {
		delete(unknown, name)
	}
	if len(unknown) > 0 {
		p.Unknown = unknown
	}
	p.Spec = unescapeSpec(p.Spec)
	p.Daemon = unescapeAll(p.Daemon)
	*d = Definition(p)
	return nil
}

// fieldNames are the fields of a Definition in JSON.
func fieldNames() []string {
	var names []string
	for t, i := reflect.TypeFor[Definition](), 0; i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// keptSpec is the spec in JSON. One that was not changed since it was read is
// written as it was, so that nothing a newer version put into it is lost.
func (d Definition) keptSpec() (json.RawMessage, error) {
	var read config.Spec
	if d.specText != nil && json.Unmarshal(d.specText, &read) == nil && reflect.DeepEqual(unescapeSpec(read), d.Spec) {
		return d.specText, nil
	}
	return json.Marshal(escapeSpec(d.Spec))
}

// JSON cannot hold every string that Linux can: what is not UTF-8, in an
// environment for one, is written in base64 behind a zero byte, which no such
// string contains.
const escaped = "\x00"

func escape(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return escaped + base64.StdEncoding.EncodeToString([]byte(s))
}

func unescape(s string) string {
	text, ok := strings.CutPrefix(s, escaped)
	if !ok {
		return s
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return s
	}
	return string(raw)
}

func escapeAll(list []string) []string   { return mapped(list, escape) }
func unescapeAll(list []string) []string { return mapped(list, unescape) }

func mapped(list []string, change func(string) string) []string {
	if list == nil {
		return nil
	}
	changed := make([]string, len(list))
	for i, s := range list {
		changed[i] = change(s)
	}
	return changed
}

func escapeSpec(s config.Spec) config.Spec {
	s.Command, s.Dir, s.Env = escape(s.Command), escape(s.Dir), escapeAll(s.Env)
	return s
}

func unescapeSpec(s config.Spec) config.Spec {
	s.Command, s.Dir, s.Env = unescape(s.Command), unescape(s.Dir), unescapeAll(s.Env)
	return s
}

// decode reads the definition of a process.
func decode(id string, text []byte) (Definition, error) {
	var d Definition
	err := json.Unmarshal(text, &d)
	if err == nil {
		err = d.check(id)
	}
	if err != nil {
		return Definition{}, fmt.Errorf("unusable: %w", err)
	}
	return d, nil
}
