package supervisor

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
)

// Sockets are listening sockets that somebody else has made, from what the
// configuration said at that time.
type Sockets struct {
	// Differ says in what they are not those of a configuration, "" when they are.
	Differ func(*config.Config) string
	// Renew is the command that has them made anew.
	Renew string
}

// socketsProblem is the problem of sockets that are not those of the file.
const socketsProblem = "sockets"

// CheckSockets tells when the sockets that systemd has passed are not those that
// the configuration names. Serving on them is better than not serving.
func (s *Supervisor) CheckSockets() {
	if err := s.compareSockets(s.opt.Config); err != nil {
		s.Note("sockets differ from the configuration", map[string]any{"error": err.Message, "hint": err.Hint})
	}
}

// compareSockets is nil when the daemon listens where a configuration says; how
// it differs is a problem in status from now on.
func (s *Supervisor) compareSockets(cfg *config.Config) *control.Error {
	if s.opt.Sockets == nil {
		return nil
	}
	text := s.opt.Sockets.Differ(cfg)
	if text == "" {
		s.setProblem(socketsProblem, "")
		return nil
	}
	s.setProblem(socketsProblem, text+"; run: "+s.opt.Sockets.Renew)
	return &control.Error{Code: "restart-needed", Message: text, Hint: s.opt.Sockets.Renew}
}

// checkLive refuses a configuration that a running daemon cannot take over. What
// runs may have been planned from an older file than the one the daemon was
// started with; what cannot change live has to be as the daemon has it.
func (s *Supervisor) checkLive(next *config.Config) error {
	changes := s.opt.Config.LiveChanges(next)
	hint := "take these changes back, or restart the daemon"
	if s.opt.Sockets != nil {
		if err := s.compareSockets(next); err != nil {
			return err
		}
		changes = slices.DeleteFunc(changes, isAddress)
		if slices.Contains(changes, "control") { // owner, group and mode are the socket's too
			hint = "take these changes back, or run: " + s.opt.Sockets.Renew
		}
	}
	if slices.Contains(changes, "application") && s.keepsApplication() {
		hint = fmt.Sprintf("set `application: %s` again; what has another name is another application, and goes into a file of its own", s.opt.Config.Application)
	}
	if len(changes) == 0 {
		return nil
	}
	return &control.Error{
		Code: "restart-needed",
		Message: fmt.Sprintf("Config changes to %s cannot be applied live; restart the Rollbridge daemon before deploying.",
			strings.Join(changes, ", ")),
		Hint: hint,
	}
}

// keepsApplication reports whether a restart would not change the application
// either: see checkApplication.
func (s *Supervisor) keepsApplication() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.survives() && (s.active != nil || len(s.services) > 0 || len(s.singletons) > 0)
}

// isAddress reports keys that say where the proxy listens.
func isAddress(key string) bool {
	return key == "proxy.host" || key == "proxy.port" || key == "proxy.listen"
}

// address is where the proxy listens, in the form of proxy.listen.
func address(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}
