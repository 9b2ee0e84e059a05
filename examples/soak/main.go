// Soak deploys two releases of the example shop in turn, many times under
// continuous load, and tells whether any client noticed and whether the daemon
// grew.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"rollbridge/cmd/rollbridge-load/load"
	"rollbridge/examples/internal/stage"
)

const drain = 3 * time.Second

type options struct {
	program  string
	deploys  int
	requests int64
	rate     int
	broken   bool
}

func main() {
	var o options
	flag.StringVar(&o.program, "rollbridge", "bin/rollbridge", "the `program` to test")
	flag.IntVar(&o.deploys, "deploys", 100, "how often to deploy")
	flag.Int64Var(&o.requests, "requests", 0, "requests at least (default 1000 for each deploy)")
	flag.IntVar(&o.rate, "rate", 2500, "requests per second at most")
	flag.BoolVar(&o.broken, "broken", false, "the program is one with a broken switch: failures must be found")
	flag.Parse()
	if o.deploys < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if o.requests == 0 {
		o.requests = 1000 * int64(o.deploys)
	}
	os.Exit(run(o))
}

func run(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	s := &soak{options: o, active: stage.First}
	err := errors.Join(s.run(ctx), s.close())
	if ctx.Err() != nil {
		fmt.Println("soak: interrupted; everything was cleaned up")
		return 130
	}
	return s.verdict(err)
}

// A soak is one run: what it measures and found.
type soak struct {
	options
	stage   *stage.Stage
	load    *load.Load
	report  load.Report
	active  string
	samples []sample
	lost    int // jobs
}

func (s *soak) run(ctx context.Context) (err error) {
	s.stage, err = stage.New(ctx, stage.Options{
		Rollbridge: s.program, Drain: drain, Health: 10 * time.Second,
		Env: []string{"SHOP_JOB_MS=50", "SHOP_TICK_MS=100"},
	})
	if err != nil {
		return err
	}
	if err := s.stage.Deploy(ctx, s.active); err != nil {
		return err
	}
	s.load, err = load.Start(ctx, load.Options{
		Target: s.stage.Addr(), Clients: 16, Rate: s.rate, Sockets: 2, Drain: drain,
		MaxRequests: 50 * s.requests, MaxTime: 2 * time.Hour,
	})
	if err != nil {
		return err
	}
	s.load.Settled(s.active)
	fmt.Printf("soak: %d deploys, at least %d requests\n\n", s.deploys, s.requests)
	if err := s.deployAll(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

func (s *soak) deployAll(ctx context.Context) error {
	tell := newTeller(s.deploys)
	for n := 1; n <= s.deploys; n++ {
		if err := s.deploy(ctx, n); err != nil {
			return fmt.Errorf("deploy %d of %d: %w", n, s.deploys, err)
		}
		if err := s.measure(ctx, n); err != nil {
			return fmt.Errorf("measure after deploy %d: %w", n, err)
		}
		tell.after(n, s.load, s.samples)
	}
	return nil
}

// deploy moves to the other release, and waits until this deploy has had its
// share of the requests.
func (s *soak) deploy(ctx context.Context, n int) error {
	s.load.Switching(fmt.Sprintf("deploy %d", n))
	if err := s.switchOver(ctx); err != nil {
		return err
	}
	s.load.Settled(s.active)
	return s.load.Reached(ctx, s.requests*int64(n)/int64(s.deploys))
}

// switchOver deploys the release that is not active.
func (s *soak) switchOver(ctx context.Context) error {
	next := stage.First
	if s.active == next {
		next = stage.Second
	}
	if err := s.stage.Deploy(ctx, next); err != nil {
		return err
	}
	s.active = next
	return nil
}

func (s *soak) finish(ctx context.Context) (err error) {
	// The last retired release's WebSockets are held up to their deadline, too.
	if err := s.stage.Drained(ctx); err != nil {
		return err
	}
	s.endLoad()
	if _, _, s.lost, err = s.stage.Stats(ctx); err != nil {
		return err
	}
	if record := s.stage.Violations(); record != "" {
		return fmt.Errorf("two schedulers at a time: %s", record)
	}
	return nil
}

func (s *soak) endLoad() {
	if s.load != nil {
		s.report = s.load.Stop()
		s.load = nil
	}
}

func (s *soak) close() error {
	s.endLoad()
	if s.stage == nil {
		return nil
	}
	return s.stage.Close()
}
