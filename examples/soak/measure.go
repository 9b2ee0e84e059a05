package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"rollbridge/cmd/rollbridge-load/load"
	"rollbridge/examples/internal/stage"
)

// A sample is what the daemon held after a deploy.
type sample struct {
	deploy int
	quiet  bool // nothing was open
	stage.Figures
}

// A window is a range of deploys, both included.
type window struct{ from, to int }

// windows are the two that are compared: 21–40 and 81–100 of a hundred.
func windows(deploys int) (early, late window) {
	fifth := max(1, deploys/5)
	return window{fifth + 1, 2 * fifth}, window{deploys - fifth + 1, deploys}
}

func (w window) has(n int) bool { return w.from <= n && n <= w.to }

// measure takes a sample under load; in the windows that are compared, now and
// then one with nothing open as well. Under load the numbers of goroutines and
// descriptors follow the clients; when nothing is open they must be equal.
func (s *soak) measure(ctx context.Context, n int) error {
	if err := s.sample(ctx, n); err != nil {
		return err
	}
	early, late := windows(s.deploys)
	each := max(1, (early.to-early.from+1)/4)
	if early.has(n) && (n-early.from+1)%each == 0 || late.has(n) && (n-late.from+1)%each == 0 {
		return s.measureQuiet(ctx, n)
	}
	return nil
}

// measureQuiet pauses the load, and replaces the release in the silence, so
// that no kept connection to its processes is left either.
func (s *soak) measureQuiet(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("the daemon does not come to rest"))
	defer cancel()
	s.load.Pause()
	defer s.load.Resume()
	s.load.Switching(fmt.Sprintf("after deploy %d, in silence", n))
	if err := s.switchOver(ctx); err != nil {
		return err
	}
	s.load.Settled(s.active)
	if err := s.stage.Drained(ctx); err != nil {
		return err
	}
	return s.sampleRest(ctx, n)
}

// sampleRest takes the lowest of a few figures: the connection by which the
// last one was asked for may not be closed yet. What leaks is in all of them.
func (s *soak) sampleRest(ctx context.Context, n int) error {
	lowest, err := s.stage.Figures(ctx)
	for range 4 {
		f, again := s.stage.Figures(ctx)
		err = errors.Join(err, again)
		lowest.Goroutines = min(lowest.Goroutines, f.Goroutines)
		lowest.FDs = min(lowest.FDs, f.FDs)
	}
	s.samples = append(s.samples, sample{n, true, lowest})
	return err
}

func (s *soak) sample(ctx context.Context, n int) error {
	f, err := s.stage.Figures(ctx)
	if err == nil {
		s.samples = append(s.samples, sample{n, false, f})
	}
	return err
}

// A span is the range of one figure, and its middle.
type span struct{ low, median, high int64 }

func (s span) String() string {
	if s.low == s.high {
		return fmt.Sprint(s.low)
	}
	return fmt.Sprintf("%d–%d", s.low, s.high)
}

// spanOf looks at one figure of the samples in a window.
func spanOf(samples []sample, w window, quiet bool, figure func(sample) int64) span {
	var all []int64
	for _, s := range samples {
		if w.has(s.deploy) && s.quiet == quiet {
			all = append(all, figure(s))
		}
	}
	if len(all) == 0 {
		return span{}
	}
	slices.Sort(all)
	return span{all[0], all[len(all)/2], all[len(all)-1]}
}

func goroutines(s sample) int64 { return int64(s.Goroutines) }
func fds(s sample) int64        { return int64(s.FDs) }
func rss(s sample) int64        { return s.RSS }

// growth is by how many percent the median of a figure grew.
func growth(early, late span) float64 {
	if early.median == 0 {
		return math.Inf(1)
	}
	return 100 * (float64(late.median)/float64(early.median) - 1)
}

// A teller prints a line for each fifth of the deploys.
type teller struct {
	deploys, from    int
	requests, failed int64 // before this fifth
}

func newTeller(deploys int) *teller { return &teller{deploys: deploys, from: 1} }

func (t *teller) after(n int, l *load.Load, samples []sample) {
	if n%max(1, t.deploys/5) != 0 && n != t.deploys {
		return
	}
	requests, failed := l.Count()
	w := window{t.from, n}
	fmt.Printf("deploys %3d–%-3d  %7d requests  %d failed  goroutines %v  fds %v  rss %.1f MiB\n",
		w.from, w.to, requests-t.requests, failed-t.failed,
		spanOf(samples, w, false, goroutines), spanOf(samples, w, false, fds),
		mebibytes(spanOf(samples, w, false, rss)))
	t.from, t.requests, t.failed = n+1, requests, failed
}

func mebibytes(s span) float64 { return float64(s.median) / (1 << 20) }
