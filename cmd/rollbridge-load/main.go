// Rollbridge-load puts HTTP and WebSocket load on a proxy in front of
// examples/shop and reports every failure a client would see.
//
// It reads lines on standard input, so that a script can tell it what happens:
//
//	switching NAME      a deploy begins
//	settled RELEASE     it has answered: only RELEASE may answer from now on
//	attempt NAME        a deploy begins that must not move traffic
//	refused             it is over
//	stop                finish and report
//
// Exit status: 0 without a failure, 1 with one, 2 for wrong usage.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"rollbridge/cmd/rollbridge-load/load"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var opt load.Options
	flags := flag.NewFlagSet("rollbridge-load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opt.Target, "target", "127.0.0.1:8182", "`host:port` of the proxy")
	flags.BoolVar(&opt.Remote, "remote", false, "allow a target that is not this machine")
	flags.IntVar(&opt.Clients, "clients", 8, "request loops at the same time")
	flags.IntVar(&opt.Rate, "rate", 500, "requests per second, 0 for no limit")
	flags.IntVar(&opt.Sockets, "websockets", 0, "WebSockets held open on each release, from each 'settled' line")
	flags.DurationVar(&opt.Drain, "drain", time.Minute, "proxy.drainTimeoutMs: no WebSocket may be closed before it")
	flags.DurationVar(&opt.Timeout, "timeout", 15*time.Second, "of one request")
	flags.DurationVar(&opt.MaxTime, "time", time.Minute, "stop after this long")
	flags.Int64Var(&opt.MaxRequests, "requests", 1_000_000, "stop after so many")
	asJSON := flags.Bool("json", false, "report as JSON")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := load.Start(context.Background(), opt)
	if err != nil {
		fmt.Fprintln(stderr, "rollbridge-load:", err)
		return 2
	}
	select {
	case <-obey(stdin, l, stderr):
	case <-l.Ended():
	case <-ctx.Done():
	}
	return tell(l.Stop(), *asJSON, stdout)
}

// obey carries out the lines; the channel is closed at "stop". The end of the
// lines stops nothing: without a script, time does.
func obey(stdin io.Reader, l *load.Load, stderr io.Writer) <-chan struct{} {
	stopped := make(chan struct{})
	go func() {
		for in := bufio.NewScanner(stdin); in.Scan(); {
			verb, rest, _ := strings.Cut(strings.TrimSpace(in.Text()), " ")
			switch verb {
			case "":
			case "switching":
				l.Switching(rest)
			case "settled":
				l.Settled(rest)
			case "attempt":
				l.Attempt(rest)
			case "refused":
				l.Refused()
			case "stop":
				close(stopped)
				return
			default:
				fmt.Fprintf(stderr, "rollbridge-load: unknown line %q\n", verb)
			}
		}
	}()
	return stopped
}

func tell(r load.Report, asJSON bool, stdout io.Writer) int {
	if asJSON {
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		out.Encode(r)
	} else {
		r.WriteTable(stdout)
	}
	if r.Failed > 0 {
		return 1
	}
	return 0
}
