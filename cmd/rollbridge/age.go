package main

import (
	"fmt"
	"time"
)

// age says a duration in the two units that matter: "3 h 12 min".
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d/time.Second)))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 24*time.Hour:
		return twoUnits(int(d/time.Hour), "h", int(d%time.Hour/time.Minute), "min")
	}
	day := 24 * time.Hour
	return twoUnits(int(d/day), "d", int(d%day/time.Hour), "h")
}

func twoUnits(n int, unit string, m int, smaller string) string {
	if m == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, m, smaller)
}

// since says how long ago a time stamp of the daemon was; "" when there is none.
func (e *env) since(stamp string) string {
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return ""
	}
	return age(e.Now().Sub(at))
}

// elapsed says how long a step took: "0.4 s", "1 min 12 s".
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return twoUnits(int(d/time.Minute), "min", int(d%time.Minute/time.Second), "s")
}
