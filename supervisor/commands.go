package supervisor

import (
	"context"
	"slices"

	"rollbridge/proxy"
	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
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

// proxyOptions are the settings of the proxy that a deploy may change.
func (s *Supervisor) proxyOptions(cfg *config.Config) proxy.Options {
	return proxy.Options{
		OnError:        func(err error) { s.Note("proxy error", map[string]any{"error": err.Error()}) },
		TrustedProxies: cfg.Proxy.TrustedProxies,
		HoldTimeout:    cfg.Proxy.HoldTimeout,
		MaxHeld:        cfg.Proxy.MaxHeldRequests,
		CloseSpread:    cfg.Proxy.CloseSpread,
	}
}

func (s *Supervisor) setStarting(r *release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starting = r
}

func (s *Supervisor) serviceList() []runner.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.services)
}

func (s *Supervisor) singletonList() []runner.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.singletons)
}
