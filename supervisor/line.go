package supervisor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollbridge/proxy"
)

// Changed gets a value after something has happened that Line may tell
// differently. It has one reader.
func (s *Supervisor) Changed() <-chan struct{} { return s.changed }

// stir says that something has happened.
func (s *Supervisor) stir() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Ending is closed when the end of the daemon begins, with or without its
// processes.
func (s *Supervisor) Ending() <-chan struct{} { return s.ending.Done() }

// Beat returns when the lock that every command takes could be taken, or with
// the error of ctx.
func (s *Supervisor) Beat(ctx context.Context) error {
	taken := make(chan struct{})
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(taken)
	}()
	select {
	case <-taken:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Line says in one line what an operator wants to know first, such as "shop: v42
// active 3 h, draining v41 (2 websockets)".
func (s *Supervisor) Line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := []string{s.activeLocked()}
	switch {
	case s.closing:
		said = append([]string{"shutting down"}, said...)
	case s.attached.Err() != nil:
		said = append([]string{"restarting, processes go on"}, said...)
	case s.op != nil:
		said = append(said, s.op.lineLocked())
	}
	for _, r := range s.releases {
		if r.state == draining {
			said = append(said, "draining "+r.id+openText(r.upstream.Open()))
		}
	}
	if held := s.proxy.Held(); held > 0 {
		said = append(said, counted(held, "request")+" waiting")
	}
	line := s.config.Application + ": " + strings.Join(said, ", ")
	if problems := s.problemsLocked(); len(problems) > 0 {
		line += "; " + strings.Join(problems, "; ")
	}
	return line
}

// activeLocked is the active release and since when, or that there is none.
func (s *Supervisor) activeLocked() string {
	switch {
	case s.active != nil && s.comesBack():
		return s.active.id + " is coming back"
	case s.active != nil:
		return s.active.id + " active " + roughly(time.Since(s.active.activatedAt))
	case s.comesBack():
		return "taking up what runs"
	}
	return "no active release"
}

// comesBack reports whether what shall run is not back yet.
func (s *Supervisor) comesBack() bool {
	select {
	case <-s.resumed:
		return false
	default:
		return true
	}
}

func (op *operation) lineLocked() string {
	line := op.command
	if op.release != "" {
		line += " of " + op.release
	}
	if op.phase != "" {
		line += " (" + op.phase + ")"
	}
	return line
}

// openText is what is open on a release: " (3 requests, 2 websockets)".
func openText(open proxy.Open) string {
	var said []string
	if open.HTTP > 0 {
		said = append(said, counted(open.HTTP, "request"))
	}
	if open.WebSocket > 0 {
		said = append(said, counted(open.WebSocket, "websocket"))
	}
	if len(said) == 0 {
		return ""
	}
	return " (" + strings.Join(said, ", ") + ")"
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// roughly is a duration in its largest unit, so that it seldom changes.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours())/24)
}
