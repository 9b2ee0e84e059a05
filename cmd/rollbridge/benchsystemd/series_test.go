package benchsystemd

import (
	"slices"
	"testing"
	"time"
)

// series is how long something took, each time.
type series []time.Duration

// compare measures something and its peer by turns, so that both meet the same
// weather.
func compare(b *testing.B, own, peer func() time.Duration) {
	var owns, peers series
	for b.Loop() {
		peers = append(peers, peer())
		owns = append(owns, own())
	}
	report(b, owns, peers)
}

// report makes them the metrics of a benchmark.
func report(b *testing.B, own, peer series) {
	b.ReportMetric(0, "ns/op") // the time of both, and of what is between them
	b.ReportMetric(own.quantile(0.5), median)
	b.ReportMetric(own.quantile(0.9), ninth)
	b.ReportMetric(peer.quantile(0.5), peerMedian)
}

// quantile is the value, in milliseconds, that a part of them does not exceed.
func (s series) quantile(part float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	i := min(int(part*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i]) / float64(time.Millisecond)
}

// timed is how long a step takes.
func timed(step func()) time.Duration {
	began := time.Now()
	step()
	return time.Since(began)
}
