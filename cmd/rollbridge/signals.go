package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// fatal are the signals that would end a program that does not mind them.
// SIGABRT still does: it makes the Go runtime tell what it is doing.
var fatal = []os.Signal{
	unix.SIGTERM, unix.SIGINT,
	unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGVTALRM,
	unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGXCPU,
}

// watchSignals keeps signals from ending the program, from the first moment.
func watchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, fatal...)
	// Writing to a closed log, or to a full one, must not end it either, and
	// telling about it in the log would not help. They are caught rather than
	// ignored, for managed processes would inherit that.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE, unix.SIGXFSZ)
	return signals
}

// mindSignals ends the daemon at the first SIGTERM or SIGINT. Every other signal
// is an event and changes nothing.
func (d *daemon) mindSignals(signals <-chan os.Signal) {
	stopping := false
	for s := range signals {
		begin := !stopping && (s == unix.SIGTERM || s == unix.SIGINT)
		if !begin {
			d.noteSignal(s, "none")
			continue
		}
		stopping = true
		go d.end(s)
	}
}

// end shuts everything down, or leaves the processes to the next daemon when
// systemd is only restarting this one.
func (d *daemon) end(s os.Signal) {
	ctx := context.Background()
	if d.runner.leaves(ctx) {
		d.noteSignal(s, "restart")
		d.supervisor.Detach(ctx)
		return
	}
	select {
	case <-d.supervisor.Ending(): // by a command before
	default:
		d.toldToEnd.Store(true)
	}
	d.noteSignal(s, "shutdown")
	d.supervisor.Shutdown(ctx)
}

func (d *daemon) noteSignal(s os.Signal, action string) {
	d.note("signal received", map[string]any{"action": action, "signal": unix.SignalName(s.(unix.Signal))})
}
