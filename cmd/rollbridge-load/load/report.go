package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A Report is what the clients saw.
type Report struct {
	Requests   int64            `json:"requests"`
	Failed     int64            `json:"failed"` // requests and held WebSockets
	Seconds    float64          `json:"seconds"`
	Failures   map[Class]int64  `json:"failures"`
	Samples    []Failure        `json:"samples"` // the first failures
	Kinds      []KindReport     `json:"kinds"`
	Releases   map[string]int64 `json:"releases"`   // answers by release
	IdleClosed int64            `json:"idleClosed"` // kept connections closed between two requests, no failure
	Sockets    Sockets          `json:"websockets"`
	Switches   []SwitchReport   `json:"switches"`
}

// A KindReport is the requests of one kind; latencies in milliseconds.
type KindReport struct {
	Kind     Kind    `json:"kind"`
	Requests int     `json:"requests"`
	Failed   int64   `json:"failed"`
	P50      float64 `json:"p50Ms"`
	P99      float64 `json:"p99Ms"`
	Max      float64 `json:"maxMs"`
}

// Sockets counts the WebSockets that were held open on releases.
type Sockets struct {
	Held    int64 `json:"held"`
	Echoes  int64 `json:"echoes"`
	Drained int64 `json:"drained"` // closed with 1012 after the drain deadline of their release
}

// A SwitchReport is what clients saw of one switch. Only requests whose answer
// is due at once are looked at.
type SwitchReport struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"` // "" when nothing was moved
	// GapMs is the time from the last answer of the old release to the first
	// of the new; negative when answers of both overlapped.
	GapMs       float64 `json:"gapMs"`
	DeployMs    float64 `json:"deployMs"`  // from its begin to its acknowledgement
	SlowestMs   float64 `json:"slowestMs"` // from its begin to a second after its end
	SlowestKind Kind    `json:"slowestKind"`
	Failed      int64   `json:"failed"`
}

func (r *recorder) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := Report{
		Requests:   r.requests,
		Failed:     r.failedLocked(),
		Seconds:    time.Since(r.began).Seconds(),
		Failures:   maps.Clone(r.failures),
		Samples:    slices.Clone(r.samples),
		Releases:   maps.Clone(r.releases),
		IdleClosed: r.idle,
		Sockets:    r.sockets,
	}
	for _, m := range mix {
		if s := r.kinds[m.kind]; s != nil {
			rep.Kinds = append(rep.Kinds, s.report(m.kind))
		}
	}
	for _, w := range r.switches {
		rep.Switches = append(rep.Switches, w.report())
	}
	return rep
}

func (s *series) report(k Kind) KindReport {
	sorted := slices.Sorted(slices.Values(s.micros))
	at := func(q float64) float64 { return float64(sorted[int(q*float64(len(sorted)-1))]) / 1000 }
	return KindReport{Kind: k, Requests: len(sorted), Failed: s.failed, P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func (w *window) report() SwitchReport {
	rep := SwitchReport{
		Name: w.name, From: w.from, To: w.to,
		SlowestMs:   millis(w.slowest),
		SlowestKind: w.slowestKind,
		Failed:      w.failed,
	}
	if !w.ended.IsZero() {
		rep.DeployMs = millis(w.ended.Sub(w.began))
	}
	if !w.lastOld.IsZero() && !w.firstNew.IsZero() {
		rep.GapMs = millis(w.firstNew.Sub(w.lastOld))
	}
	return rep
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "requests\tnumber\tfailed\tp50\tp99\tmax\t\n")
	for _, k := range r.Kinds {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.1f ms\t%.1f ms\t%.1f ms\t\n", k.Kind, k.Requests, k.Failed, k.P50, k.P99, k.Max)
	}
	fmt.Fprintf(t, "all\t%d\t%d\t\t\t\t\n\n", r.Requests, r.Failed)
	if len(r.Switches) > 0 {
		fmt.Fprint(t, "switch\tdeploy took\ttraffic moved in\tslowest request\tfailed\t\n")
		for _, s := range r.shownSwitches() {
			fmt.Fprintf(t, "%s\t%.0f ms\t%s\t%.1f ms\t%d\t\n", s.Name, s.DeployMs, s.moved(), s.SlowestMs, s.Failed)
		}
		fmt.Fprint(t, "\n")
	}
	t.Flush()
	fmt.Fprintf(w, "answers by release: %s\n", r.answers())
	fmt.Fprintf(w, "held WebSockets: %d opened, %d messages back, %d closed with 1012 at their drain deadline\n",
		r.Sockets.Held, r.Sockets.Echoes, r.Sockets.Drained)
	fmt.Fprintf(w, "failures by class: %s\n", r.classes())
	for _, f := range r.Samples {
		fmt.Fprintf(w, "  %s %v\n", f.At, &f)
	}
}

// shownSwitches is all of them when they are few, else the slowest.
func (r Report) shownSwitches() []SwitchReport {
	const few = 8
	if len(r.Switches) <= few {
		return r.Switches
	}
	slowest := slices.SortedStableFunc(slices.Values(r.Switches), func(a, b SwitchReport) int {
		return int(b.SlowestMs*1000) - int(a.SlowestMs*1000)
	})
	return slowest[:few]
}

func (s SwitchReport) moved() string {
	switch {
	case s.To == "":
		return "not moved"
	case s.GapMs == 0:
		return "-"
	}
	return fmt.Sprintf("%.1f ms", max(s.GapMs, -s.GapMs))
}

func (r Report) answers() string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(r.Releases)) {
		parts = append(parts, fmt.Sprintf("%s: %d", id, r.Releases[id]))
	}
	return strings.Join(parts, ", ")
}

func (r Report) classes() string {
	if len(r.Failures) == 0 {
		return "none"
	}
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(r.Failures)) {
		parts = append(parts, fmt.Sprintf("%s %d", class, r.Failures[class]))
	}
	return strings.Join(parts, ", ")
}
