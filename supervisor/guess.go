package supervisor

import (
	"slices"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// active is the record of the release that is to come back, nil when none is.
func (m memory) active() *releaseRecord {
	if m.ActiveReleaseID == nil {
		return nil
	}
	for i, rec := range slices.Backward(m.Releases) {
		if rec.ReleaseID == *m.ActiveReleaseID && (m.ActiveGeneration == 0 || rec.Generation == m.ActiveGeneration) {
			return &m.Releases[i]
		}
	}
	return nil
}

// knowsActive reports whether it could be read which release is active, if any.
func (m memory) knowsActive() bool { return !m.missing && m.Releases != nil }

// guess makes up for what is not remembered, since the state file is missing or
// broken, from what runs: the processes tell what they belong to.
func (r *resumption) guess() {
	m := &r.memory
	if !m.missing && m.problem == nil || len(r.left.left) == 0 {
		return
	}
	known := m.knowsActive()
	if m.BootID == "" {
		m.BootID = r.s.opt.BootID
	}
	for _, left := range r.left.left {
		if ofRelease(left.Spec) {
			m.guessRelease(left)
		} else {
			m.guessOwned(left.Spec)
		}
	}
	if !known {
		r.guessActive()
	}
	r.s.Note("state guessed from what runs", map[string]any{"activeReleaseId": m.ActiveReleaseID, "path": m.path})
}

// guessRelease adds the release of a process that is left, if it is not known.
func (m *memory) guessRelease(left runner.Left) {
	spec := left.Spec
	i := slices.IndexFunc(m.Releases, func(rec releaseRecord) bool {
		return rec.ReleaseID == spec.Release && rec.Generation == spec.Generation
	})
	if i < 0 {
		i = len(m.Releases)
		m.Releases = append(m.Releases, releaseRecord{ReleaseStatus: ReleaseStatus{
			ReleaseID: spec.Release, Generation: spec.Generation, ReleasePath: spec.ReleasePath, Revision: spec.Revision,
			State: string(draining), Ports: map[string]int{},
		}})
	}
	if rec := &m.Releases[i]; spec.Port != 0 && rec.Ports[spec.Process] == 0 {
		rec.Ports[spec.Process] = spec.Port
	}
}

// guessOwned adds a process of the daemon's own, if it is not known.
func (m *memory) guessOwned(spec config.Spec) {
	list := &m.Services
	if spec.Policy == config.Singleton {
		list = &m.Singletons
	}
	if !slices.ContainsFunc(*list, func(rec ownedRecord) bool { return rec.ID == spec.Instance }) {
		*list = append(*list, ownedRecord{ID: spec.Instance})
	}
}

// guessActive takes the release for active whose web process is left and does
// not drain. Of two, the younger one was about to be started and is not proven.
func (r *resumption) guessActive() {
	m := &r.memory
	var oldest *runner.Left
	for i, left := range r.left.left {
		if left.Stranger || left.Retired || left.Spec.Policy != config.Proxied {
			continue
		}
		if oldest == nil || left.Ref.StartTime < oldest.Ref.StartTime {
			oldest = &r.left.left[i]
		}
	}
	if oldest == nil {
		return
	}
	spec := oldest.Spec
	m.ActiveReleaseID, m.ActiveGeneration = &spec.Release, spec.Generation
	rec := m.active()
	rec.State = string(active)
	for _, left := range r.left.left {
		if !left.Stranger && !ofRelease(left.Spec) && left.Spec.Port != 0 {
			rec.Ports[left.Spec.Process] = left.Spec.Port
		}
	}
}
