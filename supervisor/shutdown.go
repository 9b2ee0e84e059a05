package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"rollbridge/supervisor/config"
)

var (
	errShutdown      = errors.New("cancelled by the shutdown of the daemon; everything it started was stopped")
	errShutdownBound = errors.New("the time for the shutdown is over")
)

// lastMoment is longer than the wait for a process that was killed.
const lastMoment = 10 * time.Second

// shutdown is the end of the daemon: once, whoever asks first.
type shutdown struct {
	begun atomic.Bool
	done  chan struct{} // closed when nothing is left
	err   error         // set before done is closed
	left  bool          // processes go on, for the next daemon; set before done is closed
}

// Done is closed when a shutdown, by command or signal, is complete and the
// daemon may exit.
func (s *Supervisor) Done() <-chan struct{} { return s.shutdown.done }

// Err says, after Done, what the shutdown could not end.
func (s *Supervisor) Err() error { return s.shutdown.err }

// Detached says, after Done, whether the processes were left to the next daemon.
func (s *Supervisor) Detached() bool { return s.shutdown.left }

// Shutdown ends everything: it takes no more commands, serves out what is open,
// stops all processes, and returns when nothing is left, or says what is. It is
// bounded by `shutdownTimeoutMs`; then what is left is killed. Calling it again
// waits for the first call. When ctx is the one of a control command, that
// command's connection stays open for the answer.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	if s.shutdown.begun.CompareAndSwap(false, true) {
		s.shutdown.err = s.shutDown(ctx)
		close(s.shutdown.done)
	}
	<-s.shutdown.done
	return s.shutdown.err
}

func (s *Supervisor) shutDown(ctx context.Context) error {
	cfg := s.currentConfig()
	bound := time.AfterFunc(cfg.ShutdownTimeout, func() { s.kill(errShutdownBound) })
	defer bound.Stop()
	defer s.kill(nil)

	op := s.close()
	defer s.forget()
	s.Note("shutdown starting", map[string]any{"timeoutMs": cfg.ShutdownTimeout.Milliseconds()})
	if s.mux != nil {
		s.mux.Close(ctx)
	}

	errs := []error{s.serveOut(cfg)}
	errs = append(errs, s.stopReleases(cfg), stopAll(s.life, s.singletonList()))
	// The operation under way starts nothing more, but it may have been about to.
	op.await()
	errs = append(errs, stopAll(s.life, s.singletonList()), stopAll(s.life, s.serviceList()))
	s.background.Wait()

	err := joined(errs)
	s.Note("shutdown complete", errorData(err))
	return err
}

// close refuses further operations, and nothing is started any more.
func (s *Supervisor) close() *operation {
	s.resuming.Lock() // what is there is taken up first, if that is under way
	defer s.resuming.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	return s.refuseLocked(errShuttingDown, errShutdown)
}

// refuseLocked refuses further operations, and cancels the one under way if it
// has not committed.
func (s *Supervisor) refuseLocked(refusal, cause error) *operation {
	s.refusal = refusal
	s.end(cause)
	if s.op != nil && !s.op.committed {
		s.op.cancel(cause)
	}
	return s.op
}

func (s *Supervisor) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// await waits for the end of the operation, and of its undoing when it was
// cancelled. Once the shutdown has no more time, everything it may wait for is
// being killed; then it has a last moment.
func (op *operation) await() {
	if op == nil {
		return
	}
	select {
	case <-op.ended:
		return
	case <-op.s.life.Done():
	}
	select {
	case <-op.ended:
	case <-time.After(lastMoment):
	}
}

// serveOut stops accepting and lets what is open end by itself, as long as a
// drain may take; a third of the shutdown's time is left for the processes.
func (s *Supervisor) serveOut(cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(s.life, min(cfg.Proxy.DrainTimeout, cfg.ShutdownTimeout*2/3))
	defer cancel()
	err := s.proxy.Shutdown(ctx)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("proxy: %w", err)
	}
	return nil // cut at the end of a drain's time is as it should be
}

// stopReleases stops the active release and those that still drain.
func (s *Supervisor) stopReleases(cfg *config.Config) error {
	s.mu.Lock()
	if r := s.active; r != nil {
		s.proxy.Switch(nil)
		s.active = nil
		r.onRequest = true
		s.retireLocked(r, cfg)
	}
	var ending []*release
	for _, r := range s.releases {
		if r.state == draining {
			ending = append(ending, r)
		}
	}
	s.mu.Unlock()
	for _, r := range ending {
		r.cut(errStopNow)
	}
	var errs []error
	for _, r := range ending {
		<-r.gone
		errs = append(errs, r.stopErr)
	}
	return errors.Join(errs...)
}

// joined makes one line of several errors.
func joined(errs []error) error {
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

func errorData(err error) map[string]any {
	if err == nil {
		return nil
	}
	return map[string]any{"error": err.Error()}
}
