package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollbridge/socket/control"
)

var (
	errShuttingDown = &control.Error{Code: "shutting-down", Message: "Rollbridge is shutting down"}
	errCancelled    = &control.Error{Code: "cancelled", Message: "cancelled before traffic was switched; everything it started was stopped"}
)

var errClientLeft = errors.New("the client left while it waited for its turn")

// An operation is a deploy, rollback, stop or restart under way. There is one
// at a time: whoever holds it is the only one that changes what runs.
type operation struct {
	s        *Supervisor
	command  string
	peer     control.Peer
	since    time.Time
	progress func(any)
	ended    chan struct{}

	// ctx ends when the operation is cancelled, which is possible until it
	// commits, and when a shutdown has no more time for it.
	ctx    context.Context
	cancel context.CancelCauseFunc

	// Guarded by Supervisor.mu.
	release   string
	phase     string
	committed bool
}

// begin makes the caller's operation the one under way. While another one is,
// it is refused as busy, or waits for its turn when wait is set. What earlier
// daemons left is taken up before anything else: that is always waited for.
func (s *Supervisor) begin(ctx context.Context, command, release string, wait bool, progress func(any)) (*operation, error) {
	op := &operation{
		s: s, command: command, release: release, progress: progress,
		peer: control.PeerOf(ctx), ended: make(chan struct{}),
	}
	if command != resumeCommand {
		select {
		case <-s.resumeBegun:
		case <-s.life.Done(): // refused below
		case <-control.Gone(ctx):
			return nil, errClientLeft
		}
	}
	for {
		ended, err := s.tryBegin(op, wait)
		if ended == nil {
			return op, err
		}
		select {
		case <-ended:
		case <-control.Gone(ctx):
			return nil, errClientLeft
		}
	}
}

// tryBegin starts op when nothing else is under way. Otherwise it returns the
// channel that tells the end of what is, or an error.
func (s *Supervisor) tryBegin(op *operation, wait bool) (ended <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refusal != nil:
		return nil, s.refusal
	case s.op == nil:
		op.since = time.Now()
		op.ctx, op.cancel = context.WithCancelCause(s.life)
		s.op = op
		return nil, nil
	case wait || s.op.command == resumeCommand:
		return s.op.ended, nil
	}
	return nil, s.op.busyLocked()
}

// busyLocked is the refusal of another operation while op is under way.
func (op *operation) busyLocked() error {
	what := op.command
	if op.release != "" {
		what += " of " + op.release
	}
	return &control.Error{
		Code: "busy",
		Message: fmt.Sprintf("busy: %s by uid %d (pid %d) has been running for %s",
			what, op.peer.UID, op.peer.PID, time.Since(op.since).Round(100*time.Millisecond)),
		Hint: "wait for it with --wait, or undo it with `rollbridge cancel`",
	}
}

// end lets the next operation begin.
func (op *operation) end() {
	op.s.mu.Lock()
	defer op.s.mu.Unlock()
	op.cancel(nil)
	if op.s.op == op {
		op.s.op = nil
		close(op.ended)
	}
	op.s.stir()
}

// commit is for operations that cannot be taken back from their start.
func (op *operation) commit() error {
	op.s.mu.Lock()
	defer op.s.mu.Unlock()
	return op.commitLocked()
}

// commitLocked is the moment after which the operation cannot be cancelled any
// more; it fails when it has been.
func (op *operation) commitLocked() error {
	if op.ctx.Err() != nil {
		return context.Cause(op.ctx)
	}
	op.committed = true
	return nil
}

// step tells what the operation is doing now.
func (op *operation) step(phase, format string, args ...any) {
	op.s.mu.Lock()
	op.phase = phase
	op.s.mu.Unlock()
	op.s.stir()
	op.progress(Progress{Phase: phase, Message: fmt.Sprintf(format, args...)})
}

// note records an event with who is behind it.
func (op *operation) note(message string, data map[string]any) {
	data["peerPid"], data["peerUid"] = op.peer.PID, op.peer.UID
	op.s.Note(message, data)
}

// Cancel undoes the operation under way, if it has not committed.
func (s *Supervisor) Cancel(ctx context.Context, _ struct{}, _ func(any)) (CancelResult, error) {
	s.mu.Lock()
	op := s.op
	switch {
	case op == nil:
		s.mu.Unlock()
		return CancelResult{}, &control.Error{Code: "idle", Message: "nothing to cancel: no operation is under way"}
	case op.committed:
		s.mu.Unlock()
		return CancelResult{}, &control.Error{
			Code:    "committed",
			Message: fmt.Sprintf("the %s cannot be cancelled any more", op.command),
			Hint:    "go back with `rollbridge rollback`",
		}
	}
	op.cancel(errCancelled)
	s.mu.Unlock()
	<-op.ended
	return CancelResult{Cancelled: op.command}, nil
}
