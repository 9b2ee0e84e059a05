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

// mindSignals shuts the daemon down at the first SIGTERM or SIGINT. Every
// other signal is an event and changes nothing.
func (d *daemon) mindSignals(signals <-chan os.Signal) {
	stopping := false
	for s := range signals {
		begin := !stopping && (s == unix.SIGTERM || s == unix.SIGINT)
		d.noteSignal(s, begin)
		if begin {
			stopping = true
			go d.supervisor.Shutdown(context.Background())
		}
	}
}

func (d *daemon) noteSignal(s os.Signal, begin bool) {
	action := "none"
	if begin {
		action = "shutdown"
	}
	d.note("signal received", map[string]any{"action": action, "signal": unix.SignalName(s.(unix.Signal))})
}
