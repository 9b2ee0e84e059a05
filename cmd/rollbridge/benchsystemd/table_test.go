package benchsystemd

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// rows are what is measured, in the order of the table: the benchmark's name,
// what it measures and what the peer does meanwhile.
var rows = []struct{ name, what, peer string }{
	{"StartUnit", "start a unit, until its command is executed", "a plain unit of the command"},
	{"StopUnit", "stop a unit, willing process", "a plain unit"},
	{"StartScope", "start a web process in a scope, until its command is executed", "a child, moved into a scope"},
	{"StopScope", "stop it, willing process", "the plain scope"},
	{"Crash", "from a SIGKILL until the command is executed again, no delay", "a plain unit, `Restart=always`"},
	{"Restart", "`rollbridge restart`, one process", "`systemctl restart`"},
	{"Deploy", "`rollbridge deploy` of a small application", "a plain unit of it, until it answers"},
	{"Switch", "the request that meets the switch", "a request at any other time"},
	{"Adopt20", "start of a daemon that takes back 20 processes, until ready", "one with nothing to take back"},
	{"Adopt200", "the same, 200 processes", "one with nothing to take back"},
	{"StatusText", "`rollbridge status`, 20 processes", "`systemctl status` of the slice"},
	{"StatusJSON", "`rollbridge status --json`, 20 processes", "`systemctl show` of the units"},
}

// figures are the metrics of a benchmark by their units.
type figures map[string]float64

// The metrics of a benchmark, in milliseconds.
const (
	median, ninth, peerMedian = "ms", "p90-ms", "peer-ms"
)

// parse reads the output of `go test -bench`, benchmarks by their names.
func parse(output string) map[string]figures {
	all := map[string]figures{}
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
		all[name] = figures{}
		for i := 2; i+1 < len(fields); i += 2 {
			all[name][fields[i+1]], _ = strconv.ParseFloat(fields[i], 64)
		}
	}
	return all
}

// table is the figures of each version.
type table map[string]map[string]figures

// String writes it down for people, and for docs/systemd.md. A row has those
// versions that were measured.
func (t table) String() string {
	var b strings.Builder
	b.WriteString("| median (9 of 10 are below), in ms |")
	for _, version := range systemdtest.Versions {
		b.WriteString(" " + version + " | of the peer |")
	}
	b.WriteString(" peer: systemd alone |\n|---|" + strings.Repeat("--:|--:|", len(systemdtest.Versions)) + "---|\n")
	for _, row := range rows {
		cells := ""
		measured := false
		for _, version := range systemdtest.Versions {
			f, ok := t[version][row.name]
			measured = measured || ok
			cells += " " + f.own() + " | " + f.ratio() + " |"
		}
		if measured {
			b.WriteString("| " + row.what + " |" + cells + " " + row.peer + " |\n")
		}
	}
	return b.String()
}

func (f figures) own() string {
	if f == nil {
		return "–"
	}
	return fmt.Sprintf("%s (%s)", number(f[median]), number(f[ninth]))
}

// ratio is how many times as long as the peer it takes.
func (f figures) ratio() string {
	if f[peerMedian] == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f × %s", f[median]/f[peerMedian], number(f[peerMedian]))
}

// number writes two digits that count.
func number(ms float64) string {
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

func TestTableHasBothVersionsInARow(t *testing.T) {
	got := table{
		"252": parse("goos: linux\nBenchmarkStopUnit-2  \t  20\t  4.000 ms\t  5.25 p90-ms\t 2.000 peer-ms\nPASS\n"),
		"257": parse("BenchmarkStopUnit \t 20\t 14.4 ms\t 20.1 p90-ms\nBenchmarkSomethingElse 1 2 ms\n"),
	}.String()
	want := `| median (9 of 10 are below), in ms | 252 | of the peer | 257 | of the peer | peer: systemd alone |
|---|--:|--:|--:|--:|---|
| stop a unit, willing process | 4.0 (5.2) | 2.0 × 2.0 | 14 (20) | – | a plain unit |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
