package main

import (
	"testing"
	"time"
)

func TestMomentIsADurationATimeOrToday(t *testing.T) {
	zone := time.FixedZone("there", 2*60*60)
	now := time.Date(2026, 11, 24, 1, 30, 0, 0, zone)
	for text, want := range map[string]string{
		"10m":                       "2026-11-23T23:20:00Z",
		"2h":                        "2026-11-23T21:30:00Z",
		"1h30m":                     "2026-11-23T22:00:00Z",
		"0s":                        "2026-11-23T23:30:00Z",
		"today":                     "2026-11-23T22:00:00Z",
		"2026-11-24T10:00:00+01:00": "2026-11-24T09:00:00Z",
		"2026-11-24T10:00:00.5Z":    "2026-11-24T10:00:00.5Z",
	} {
		var got string
		err := moment{"since", func() time.Time { return now }, &got}.Set(text)
		if err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "-5m", "10", "2026-11-24", "24.11.2026"} {
		var got string
		if err := (moment{"since", time.Now, &got}).Set(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}
