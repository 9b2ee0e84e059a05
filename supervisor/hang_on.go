//go:build hang

package supervisor

// Hang takes the lock that every command takes, for good.
func (s *Supervisor) Hang() { s.mu.Lock() }
