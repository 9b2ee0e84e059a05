package supervisor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"rollbridge/supervisor/config"
)

// StatePaths are where a daemon remembers over its own end.
type StatePaths struct {
	File string // the state
	// Before is where File may have been until the configuration was changed.
	Before []string
	// Active is the copy of the configuration in force; "" when no process
	// outlives the daemon, so that none has to be found again.
	Active string
}

// The configuration in force is that of the active release. Its text is kept
// beside the state, so that what comes back is what was proven, whatever has
// been written into the file since. A deploy writes its text beside it before it
// starts anything; the commit puts it in place. In between the digest in the
// state tells which of the two belongs to the active release.

func digestOf(cfg *config.Config) string {
	sum := sha256.Sum256(cfg.Source)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// candidate is where the text of a release that has not committed is kept.
func (p StatePaths) candidate() string { return filepath.Join(filepath.Dir(p.Active), "starting.yaml") }

// keepCandidate keeps the text of a release that is to be started.
func (s *Supervisor) keepCandidate(cfg *config.Config) error {
	if !s.survives() {
		return nil
	}
	return s.opt.disk.replace(s.opt.State.candidate(), cfg.Source)
}

// dropCandidate forgets the text of a release that did not start.
func (s *Supervisor) dropCandidate() {
	if s.survives() {
		s.opt.disk.remove(s.opt.State.candidate()) // what is left is overwritten by the next deploy
	}
}

// keepInForce makes the text of the release that has become active the one in
// force. The state names it already.
func (s *Supervisor) keepInForce() error {
	if !s.survives() {
		return nil
	}
	return s.opt.disk.rename(s.opt.State.candidate(), s.opt.State.Active)
}

// settleInForce has the configuration of the release that came back in its
// place, wherever it was found.
func (s *Supervisor) settleInForce(cfg *config.Config) {
	if kept, err := os.ReadFile(s.opt.State.Active); err == nil && bytes.Equal(kept, cfg.Source) {
		return
	}
	if err := s.opt.disk.replace(s.opt.State.Active, cfg.Source); err != nil {
		s.Note("configuration in force not kept", map[string]any{"error": err.Error(), "path": s.opt.State.Active})
	}
}

// configInForce is the configuration that a release with that digest was planned
// from. When it cannot be had, it is the one in the file, and an event says so.
func (s *Supervisor) configInForce(digest string) *config.Config {
	current := s.opt.Config
	if digestOf(current) == digest {
		return current
	}
	source, err := s.textInForce(digest)
	if err == nil {
		var cfg *config.Config
		if cfg, err = s.opt.Parse(source); err == nil {
			s.Note("configuration changed since the last deploy", map[string]any{"inForce": s.opt.State.Active, "path": current.File})
			return cfg
		}
	}
	s.Note("configuration in force not usable", map[string]any{"error": err.Error(), "instead": current.File, "path": s.opt.State.Active})
	return current
}

// textInForce finds the text with that digest; with none, the one in force.
func (s *Supervisor) textInForce(digest string) ([]byte, error) {
	var errs []error
	for _, path := range []string{s.opt.State.Active, s.opt.State.candidate()} {
		source, err := os.ReadFile(path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case digest == "" || digest == digestOf(&config.Config{Source: source}):
			return source, nil
		default:
			errs = append(errs, fmt.Errorf("%s is not the one of the active release", path))
		}
	}
	return nil, errs[0]
}

// survives reports whether processes outlive the daemon.
func (s *Supervisor) survives() bool { return s.opt.State.Active != "" }
