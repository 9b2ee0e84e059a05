package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

const (
	// killWait is how long SIGKILL is given to work.
	killWait = 5 * time.Second
	// hookBound bounds quiet and stop commands of an indefinite grace.
	hookBound = 30 * time.Second
)

// target is what a stop works on: a command with all its descendants, called
// members.
type target interface {
	// PID is that of the command's own process, also after its end.
	PID() int
	// Exited is closed when the command's own process has ended and its output
	// is complete.
	Exited() <-chan struct{}
	// Empty reports whether no member runs.
	Empty() bool
	// Left names the members that run, for people.
	Left() []string
	// Signal sends to every member.
	Signal(syscall.Signal)
	// Gone waits until no member runs; it answers the context's cause.
	Gone(context.Context) error
	// Kill sends SIGKILL until no member runs, also those that are born
	// meanwhile; it answers the context's cause.
	Kill(context.Context) error
	// Hook runs a lifecycle command beside the members and waits for its end;
	// the end of the context kills it.
	Hook(ctx context.Context, spec config.Spec, command string) (Exit, error)
}

// stopping is one stop of one target, by the settings of spec. The end of the
// context given to its methods cuts every step short and brings SIGKILL.
type stopping struct {
	target
	spec config.Spec
	tell func(message string, data map[string]any)
}

// run is the whole sequence. The error says what is left.
func (s stopping) run(ctx context.Context) error {
	lifecycle := s.spec.Stop.Lifecycle
	s.hook(ctx, "quiet command", lifecycle.Quiet, s.bound())
	s.drain(ctx)
	if s.Empty() {
		return nil
	}
	if lifecycle.Stop == "" {
		return s.leftovers(ctx)
	}
	s.hook(ctx, "stop command", lifecycle.Stop, s.bound())
	return s.await(ctx)
}

// leftovers is the sequence without hooks, for what a dead command left.
func (s stopping) leftovers(ctx context.Context) error {
	if s.Empty() {
		return nil
	}
	s.Signal(s.signal())
	return s.await(ctx)
}

// drain lets the drain command work, or the process end by itself.
func (s stopping) drain(ctx context.Context) {
	bound := s.spec.Stop.Lifecycle.DrainTimeout
	if bound <= 0 || s.Empty() {
		return
	}
	if command := s.spec.Stop.Lifecycle.Drain; command != "" {
		s.hook(ctx, "drain command", command, bound)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	select {
	case <-s.Exited():
	case <-ctx.Done():
	}
}

// await gives the members their grace, then kills them.
func (s stopping) await(ctx context.Context) error {
	if s.grace(ctx) {
		return nil
	}
	s.tell("process stop timed out; sending SIGKILL", map[string]any{"pid": s.PID()})
	ctx, cancel := context.WithTimeout(context.Background(), killWait)
	defer cancel()
	if s.Kill(ctx) == nil || s.Empty() {
		return nil
	}
	return leftError(s.target)
}

// grace reports whether all members ended within it.
func (s stopping) grace(ctx context.Context) bool {
	if grace := s.spec.Stop.Grace; grace != config.Indefinite {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, grace)
		defer cancel()
	}
	return s.Gone(ctx) == nil
}

func (s stopping) signal() syscall.Signal {
	if s.spec.Stop.Signal == 0 {
		return syscall.SIGTERM
	}
	return s.spec.Stop.Signal
}

func (s stopping) bound() time.Duration {
	if s.spec.Stop.Grace == config.Indefinite {
		return hookBound
	}
	return s.spec.Stop.Grace
}

var errHookBound = errors.New("time is over")

// hook runs one lifecycle command within its bound. What goes wrong is an
// event and never ends the stop.
func (s stopping) hook(ctx context.Context, label, command string, bound time.Duration) {
	if command == "" || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errHookBound)
	defer cancel()
	exit, err := s.Hook(ctx, s.spec, command)
	switch {
	case errors.Is(err, errHookBound):
		s.tell(label+" timed out", map[string]any{"timeoutMs": bound.Milliseconds()})
	case err != nil:
		s.tell(label+" failed", map[string]any{"error": err.Error()})
	case exit.Signal != 0:
		s.tell(label+" exited on signal", map[string]any{"signal": signalName(exit.Signal)})
	case exit.Code != 0:
		s.tell(label+" exited non-zero", map[string]any{"code": exit.Code})
	}
}

// leftError names what SIGKILL did not end.
func leftError(t target) error {
	return fmt.Errorf("still running after SIGKILL: %s", strings.Join(t.Left(), ", "))
}

// signalName is SIGTERM for SIGTERM; real-time signals have their number.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("SIG%d", int(s))
}
