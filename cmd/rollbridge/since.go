package main

import (
	"time"
)

// sinceUsage explains --since.
const sinceUsage = "<when> only what is newer: a duration such as 10m or 2h, a time such as 2026-11-24T10:00:00Z, or today"

// A moment is an option value that is a time in the past.
type moment struct {
	option string
	now    func() time.Time
	text   *string // as the daemon takes it: RFC 3339
}

func (m moment) String() string {
	if m.text == nil {
		return ""
	}
	return *m.text
}

func (m moment) Type() string { return "time" }

func (m moment) Set(text string) error {
	at, ok := parseMoment(text, m.now())
	if !ok {
		return usageFault("--"+m.option+" must be a duration such as 10m or 2h, a time such as 2026-11-24T10:00:00Z, or today; it is '"+text+"'", "")
	}
	*m.text = at.UTC().Format(time.RFC3339Nano)
	return nil
}

// parseMoment reads how long ago, since when, or today, which begins at midnight
// where the command runs.
func parseMoment(text string, now time.Time) (at time.Time, ok bool) {
	if text == "today" {
		year, month, day := now.Date()
		return time.Date(year, month, day, 0, 0, 0, 0, now.Location()), true
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), ago >= 0
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}
