package systemd

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Entry is one entry of the journal.
type Entry struct {
	Cursor string    // names it, for ever
	Time   time.Time // when the journal received it

	fields map[string]string
}

// Field is the value of a field, "" when the entry has none. It is what the
// sender gave, any bytes; names that begin with an underscore are journald's own
// and cannot be forged. Of a field given more than once it is the first value.
func (e Entry) Field(name string) string { return e.fields[name] }

// parseEntry reads a line of `journalctl -o json`.
func parseEntry(line []byte) (Entry, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return Entry{}, fmt.Errorf("journal entry: %w", err)
	}
	e := Entry{fields: make(map[string]string, len(raw))}
	for name, value := range raw {
		if text, ok := fieldText(value); ok {
			e.fields[name] = text
		}
	}
	micros, err := strconv.ParseInt(e.fields["__REALTIME_TIMESTAMP"], 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("journal entry: time %q", e.fields["__REALTIME_TIMESTAMP"])
	}
	e.Cursor, e.Time = e.fields["__CURSOR"], time.UnixMicro(micros)
	return e, nil
}

// fieldText reads a value: a string; numbers, the bytes of text that JSON cannot
// hold; null, when journalctl leaves out what is too large; or a list of such,
// for a field given more than once.
func fieldText(raw json.RawMessage) (text string, ok bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return plainText(raw)
	}
	var values []json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		return "", false
	}
	if bytes, ok := byteText(values); ok {
		return bytes, true
	}
	for _, value := range values {
		if text, ok := fieldText(value); ok {
			return text, true
		}
	}
	return "", false
}

func plainText(raw json.RawMessage) (text string, ok bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

func byteText(values []json.RawMessage) (text string, ok bool) {
	bytes := make([]byte, len(values))
	for i, value := range values {
		n, err := strconv.ParseUint(string(value), 10, 8)
		if err != nil {
			return "", false
		}
		bytes[i] = byte(n)
	}
	return string(bytes), true
}
