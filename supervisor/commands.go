package supervisor

import (
	"context"

	"rollbridge/socket/control"
)

// Commands registers every command of the control socket.
func (s *Supervisor) Commands(m *control.Mux) {
	s.mux = m
	handle(m, "deploy", s.Deploy)
	handle(m, "rollback", s.Rollback)
	handle(m, "cancel", s.Cancel)
	handle(m, "status", s.Status)
	handle(m, "stop", s.Stop)
	handle(m, "restart", s.Restart)
	handle(m, "shutdown", s.shutdownCommand)
	handle(m, "events", s.Events)
	handle(m, "logs", s.Logs)
}

// handle registers a command whose errors are told as a client needs them.
func handle[A, R any](m *control.Mux, command string, h func(context.Context, A, func(any)) (R, error)) {
	control.Handle(m, command, func(ctx context.Context, args A, progress func(any)) (R, error) {
		result, err := h(ctx, args, progress)
		return result, answer(err)
	})
}

func (s *Supervisor) shutdownCommand(ctx context.Context, _ struct{}, _ func(any)) (Message, error) {
	return Message{"shutdown"}, s.Shutdown(ctx)
}
