package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
)

// ErrRestarting is the answer to a command of a daemon that is about to make way
// for another one, and has begun nothing.
var ErrRestarting = &control.Error{Code: "restarting", Message: "Rollbridge is restarting", Hint: "try again in a moment"}

var errDetached = errors.New("cancelled by the restart of the daemon; everything it started was stopped")

// Detach ends the daemon and leaves its processes running, for the next one: it
// takes no more commands, undoes the operation under way if it has not
// committed and awaits it if it has, finishes open requests for
// `restartGraceMs`, and has the state on disk. Drains are left to the next
// daemon. Where processes cannot outlive the daemon, it is a Shutdown. After
// either has begun, it waits for that one.
func (s *Supervisor) Detach(ctx context.Context) error {
	if !s.survives() {
		return s.Shutdown(ctx)
	}
	if s.shutdown.begun.CompareAndSwap(false, true) {
		s.shutdown.err, s.shutdown.left = s.letGo(ctx), true
		close(s.shutdown.done)
	}
	<-s.shutdown.done
	return s.shutdown.err
}

func (s *Supervisor) letGo(ctx context.Context) error {
	cfg := s.currentConfig()
	op := s.leave()
	s.Note("restart starting", map[string]any{"graceMs": cfg.RestartGrace.Milliseconds()})

	var err error
	var ending sync.WaitGroup
	ending.Go(func() { err = s.finishRequests(cfg) })
	ending.Go(func() { op.awaitWithin(cfg.ShutdownTimeout) })
	ending.Wait()
	if s.mux != nil {
		s.mux.Close(ctx) // after the answer of the operation
	}
	err = errors.Join(err, s.state.save())
	s.Note("processes left to the next daemon", errorData(joined([]error{err})))
	s.state.stop()
	return joined([]error{err})
}

// leave refuses further operations, and has drains go no further.
func (s *Supervisor) leave() *operation {
	s.resuming.Lock()
	defer s.resuming.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detach(errDetached)
	return s.refuseLocked(ErrRestarting, errDetached)
}

// finishRequests stops accepting and lets what is open end by itself for a while;
// then it is cut.
func (s *Supervisor) finishRequests(cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(s.life, cfg.RestartGrace)
	defer cancel()
	err := s.proxy.Shutdown(ctx)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("proxy: %w", err)
	}
	return nil
}

// awaitWithin waits for the end of the operation, as long as a shutdown may take:
// what is not done then is left to the next daemon.
func (op *operation) awaitWithin(timeout time.Duration) {
	if op == nil {
		return
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-op.ended:
	case <-timer.C:
	}
}
