package supervisor

import (
	"slices"
	"time"
)

// listLocked puts a release that becomes active into the list. A re-used id
// keeps its place, the newest generation last.
func (s *Supervisor) listLocked(next *release) {
	at := len(s.releases)
	for i, r := range s.releases {
		if r.id == next.id {
			at = i + 1
		}
	}
	s.releases = slices.Insert(s.releases, at, next)
	s.pruneLocked()
}

// pruneLocked forgets stopped releases: those deployed again since, and the
// oldest ones beyond the retention.
func (s *Supervisor) pruneLocked() {
	keep := s.keptLocked()
	s.releases = slices.DeleteFunc(s.releases, func(r *release) bool {
		return r.state == stopped && !slices.Contains(keep, r)
	})
}

// keptLocked is the stopped releases that stay, newest first.
func (s *Supervisor) keptLocked() []*release {
	var candidates []*release
	for i, r := range s.releases {
		if r.state == stopped && !s.deployedAgainLocked(i) {
			candidates = append(candidates, r)
		}
	}
	slices.Reverse(candidates) // of two that stopped at once, the later in the list is newer
	slices.SortStableFunc(candidates, func(a, b *release) int { return b.stoppedAt.Compare(a.stoppedAt) })

	retention := s.config.ReleaseRetention
	if retention.MaxAge > 0 {
		candidates = slices.DeleteFunc(candidates, func(r *release) bool {
			return time.Since(r.stoppedAt) > retention.MaxAge
		})
	}
	return candidates[:min(len(candidates), retention.Keep)]
}

// deployedAgainLocked reports whether a later generation of the release at i is
// listed; generations of one id stand in order.
func (s *Supervisor) deployedAgainLocked(i int) bool {
	return slices.ContainsFunc(s.releases[i+1:], func(r *release) bool { return r.id == s.releases[i].id })
}
