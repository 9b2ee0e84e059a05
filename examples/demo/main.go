// Demo shows rollbridge at work: it deploys the example shop, deploys it again
// under load, tries a broken release, rolls back, and tells what the clients
// noticed. It needs nothing but Go, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"rollbridge/cmd/rollbridge-load/load"
	"rollbridge/examples/internal/stage"
)

const (
	drain   = 4 * time.Second
	health  = 2 * time.Second
	between = 2500 * time.Millisecond // load between two deploys
)

func main() {
	program := flag.String("rollbridge", "bin/rollbridge", "the `program` to show")
	flag.Parse()
	os.Exit(run(*program))
}

func run(program string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	out := newScreen(os.Stdout)
	out.title("rollbridge demo: a shop is deployed, re-deployed under load, and rolled back")
	p := &play{screen: out}
	err := errors.Join(p.perform(ctx, program), p.close())
	if ctx.Err() != nil {
		out.problem(errors.New("interrupted; everything was cleaned up"))
		return 130
	}
	if err != nil {
		out.problem(err)
	}
	return p.verdict(err)
}

// A play is one demo: the stage, the load, and what went wrong.
type play struct {
	*screen
	stage  *stage.Stage
	load   *load.Load
	report load.Report
	lost   int // jobs
}

// perform is what the demo shows, in order.
func (p *play) perform(ctx context.Context, program string) error {
	return p.all(ctx,
		step{"build the shop, make three releases, start the daemon", func() error { return p.open(ctx, program) }},
		step{"deploy release 1", func() error { return p.stage.Deploy(ctx, stage.First) }},
		step{"put load on it: GET, POST, chunked, slow, streamed, large, WebSocket", p.loadOn(ctx)},
		step{"deploy release 2 under load", p.moving("deploy 2", stage.Second, func() error { return p.stage.Deploy(ctx, stage.Second) })},
		step{"serve from release 2", p.serve(ctx, between)},
		step{"deploy the broken release 3: it is refused", func() error { return p.refused(ctx) }},
		step{"serve from release 2 as if nothing had been", p.serve(ctx, between)},
		step{"roll back to release 1 under load", p.moving("rollback", stage.First, func() error { return p.stage.Rollback(ctx) })},
		step{"serve from release 1, drain release 2", p.serve(ctx, drain+time.Second)},
		step{"end the load and look at the jobs", func() error { return p.finish(ctx) }},
	)
}

func (p *play) open(ctx context.Context, program string) (err error) {
	p.stage, err = stage.New(ctx, stage.Options{
		Rollbridge: program, Drain: drain, Health: health,
		Env: []string{"SHOP_JOB_MS=400", "SHOP_TICK_MS=500"},
	})
	return err
}

func (p *play) loadOn(ctx context.Context) func() error {
	return func() (err error) {
		p.load, err = load.Start(ctx, load.Options{
			Target: p.stage.Addr(), Clients: 12, Rate: 400, Sockets: 3, Drain: drain, MaxTime: 5 * time.Minute,
		})
		if err != nil {
			return err
		}
		p.load.Settled(stage.First)
		return p.serve(ctx, between)()
	}
}

// moving moves traffic to a release while the load watches.
func (p *play) moving(name, to string, move func() error) func() error {
	return func() error {
		p.load.Switching(name)
		if err := move(); err != nil {
			return err
		}
		p.load.Settled(to)
		return nil
	}
}

// refused deploys the broken release, which must fail and move nothing.
func (p *play) refused(ctx context.Context) error {
	p.load.Attempt("broken 3")
	defer p.load.Refused()
	err := p.stage.Deploy(ctx, stage.Broken)
	if err == nil {
		return errors.New("the broken release went live")
	}
	if ctx.Err() != nil || !strings.Contains(err.Error(), "Health check failed") {
		return err
	}
	p.note("refused: " + refusal(err))
	st, err := p.stage.Status(ctx)
	if err == nil && st.ActiveReleaseID != stage.Second {
		err = fmt.Errorf("release %q is active after a refused deploy", st.ActiveReleaseID)
	}
	return err
}

// refusal is the first line of what the command line said.
func refusal(err error) string {
	_, said, _ := strings.Cut(err.Error(), "error: ")
	line, _, _ := strings.Cut(said, "\n")
	return line
}

// serve lets the load go on for a while.
func (p *play) serve(ctx context.Context, d time.Duration) func() error {
	return func() error {
		select {
		case <-time.After(d):
			return nil
		case <-p.load.Ended():
			return errors.New("the load ended by itself")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *play) finish(ctx context.Context) error {
	p.endLoad()
	put, done, lost, err := p.stage.Stats(ctx)
	if err != nil {
		return err
	}
	p.lost = lost
	p.note(fmt.Sprintf("jobs: %d put, %d done, %d interrupted", put, done, lost))
	if record := p.stage.Violations(); record != "" {
		return fmt.Errorf("two schedulers at a time: %s", record)
	}
	return nil
}

func (p *play) endLoad() {
	if p.load != nil {
		p.report = p.load.Stop()
		p.load = nil
	}
}

// close cleans up whatever there is, also after a failure.
func (p *play) close() error {
	p.endLoad()
	if p.stage == nil {
		return nil
	}
	return p.step(step{"shut down, clean up", p.stage.Close})
}

// verdict prints the table and the last line, and returns the exit status.
func (p *play) verdict(err error) int {
	p.blank()
	if p.report.Requests > 0 {
		p.report.WriteTable(p)
		p.blank()
	}
	failed := p.report.Failed + int64(p.lost)
	if err != nil {
		failed++
	}
	p.last(fmt.Sprintf("%d requests, %d jobs interrupted, %d failed", p.report.Requests, p.lost, failed), failed == 0)
	if failed > 0 {
		return 1
	}
	return 0
}
