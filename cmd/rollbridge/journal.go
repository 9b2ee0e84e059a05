package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollbridge/supervisor"
	"rollbridge/supervisor/systemd"
)

// journalPatience is how long journald may take to accept an event.
const journalPatience = time.Second

// A journalLog takes the lines of the log and sends each as a structured message
// to the journal. What the journal does not take goes to another writer as it
// came. It is for one goroutine.
type journalLog struct {
	send        func([]systemd.Field, time.Duration) error
	application string
	instead     io.Writer
	failed      bool // the last line could not be sent
}

// logOutput is where the log of a daemon goes: to the journal when that is what
// systemd made standard output, else to standard output.
func (e *env) logOutput(application string) (w io.Writer, journal bool) {
	const stdout = 1
	if !systemd.IsJournal(stdout, e.Getenv("JOURNAL_STREAM")) {
		return e.Stdout, false
	}
	return &journalLog{send: systemd.OpenJournalSocket().Send, application: application, instead: e.Stdout}, true
}

// Write takes one line.
func (j *journalLog) Write(line []byte) (int, error) {
	fields, err := j.fields(line)
	if err == nil {
		patience := journalPatience
		if j.failed {
			patience = time.Millisecond // or each event would wait
		}
		err = j.send(fields, patience)
	}
	if j.failed = err != nil; j.failed {
		return j.instead.Write(line)
	}
	return len(line), nil
}

// eventLine is a line of the log.
type eventLine struct {
	At      string          `json:"at"`
	Data    json.RawMessage `json:"data"`
	Message string          `json:"message"`
}

// fields are what the journal keeps of a line; docs/logging.md lists them.
func (j *journalLog) fields(line []byte) ([]systemd.Field, error) {
	var event eventLine
	if err := json.Unmarshal(line, &event); err != nil {
		return nil, err
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(event.Data, &data); err != nil {
		return nil, err
	}
	priority := 6
	kind, known := supervisor.KindOf(event.Message)
	if known {
		priority = kind.Priority
	}
	fields := []systemd.Field{
		{Name: "MESSAGE", Value: sentence(event.Message, data)},
		{Name: "PRIORITY", Value: strconv.Itoa(priority)},
		{Name: "SYSLOG_IDENTIFIER", Value: supervisor.JournalIdentifier},
		{Name: supervisor.FieldApplication, Value: j.application},
		{Name: supervisor.FieldEvent, Value: event.Message},
		{Name: supervisor.FieldData, Value: string(event.Data)},
		{Name: supervisor.FieldAt, Value: event.At},
	}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, systemd.Field{Name: name, Value: value})
		}
	}
	add("MESSAGE_ID", kind.ID)
	add(supervisor.FieldProcess, text(data["processId"]))
	add(supervisor.FieldRelease, text(data["releaseId"]))
	add(objectField(os.Geteuid()), text(data["unit"]))
	return fields, nil
}

// objectField names the unit that a message is about, so that `journalctl -u`
// of it shows the message: a unit of the manager that a user's processes have.
func objectField(uid int) string {
	if uid == 0 {
		return "OBJECT_SYSTEMD_UNIT"
	}
	return "OBJECT_SYSTEMD_USER_UNIT"
}

// text is a JSON string's value, "" of anything else.
func text(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

// sentence is an event on a line for people: what it says and the facts, whose
// processes and releases come first.
func sentence(message string, data map[string]json.RawMessage) string {
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(rank(a)+a, rank(b)+b)
	})
	var b strings.Builder
	b.WriteString(message)
	for _, name := range names {
		if value := bytes.TrimSpace(data[name]); string(value) != "null" {
			fmt.Fprintf(&b, " %s=%s", name, plain(value))
		}
	}
	return b.String()
}

func rank(name string) string {
	switch name {
	case "processId":
		return "0"
	case "releaseId":
		return "1"
	case "peerPid", "peerUid", "unit":
		return "3"
	}
	return "2"
}

// plain is a JSON value without quotes where it needs none.
func plain(value json.RawMessage) string {
	s := text(value)
	if s == "" || strings.ContainsAny(s, " \"=\\") || strings.ContainsFunc(s, isControl) {
		return string(value)
	}
	return s
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
