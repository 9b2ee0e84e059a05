package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"rollbridge/supervisor"
)

// onInterrupt minds Ctrl-C while an operation runs: the first tells that it
// goes on in the daemon, the second cancels it there, the third ends the
// program as usual. The returned function ends the minding.
func (e *env) onInterrupt(r *remote, p *progress, operation string) (ignore func()) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.mindInterrupts(ctx, interrupts, r, p, operation)
	}()
	return func() {
		signal.Stop(interrupts)
		cancel()
		<-done
	}
}

func (e *env) mindInterrupts(ctx context.Context, interrupts chan os.Signal, r *remote, p *progress, operation string) {
	if !received(ctx, interrupts) {
		return
	}
	p.say(e, fmt.Sprintf("The %s goes on in the daemon; Ctrl-C again cancels it.", operation))
	if !received(ctx, interrupts) {
		return
	}
	signal.Stop(interrupts)
	p.say(e, fmt.Sprintf("Cancelling the %s …", operation))
	bounded := *r
	bounded.timeout = quick
	_, _, err := call[supervisor.CancelResult](ctx, &bounded, "cancel", struct{}{}, nil)
	if err != nil && ctx.Err() == nil {
		p.say(e, "It was not cancelled: "+err.Error())
	}
}

func received(ctx context.Context, c <-chan os.Signal) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}
