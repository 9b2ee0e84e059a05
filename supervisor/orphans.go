package supervisor

import (
	"encoding/json"
	"os"
	"slices"

	"rollbridge/supervisor/runner"
)

// Orphans are what a daemon whose processes end with it has left running all the
// same, since it was killed. They are reported and left alone.

// reportOrphans finds the processes of earlier daemons that still run.
func (s *Supervisor) reportOrphans(m memory) {
	orphans := livingOrphans(m.orphanRecords())
	s.mu.Lock()
	s.orphans = orphans
	s.mu.Unlock()
	for _, o := range orphans {
		s.Note("orphaned managed process detected", map[string]any{"pid": o.PID, "processId": o.ID, "releaseId": o.ReleaseID})
	}
	if len(orphans) > 0 {
		s.Note("orphaned processes from a previous daemon", map[string]any{
			"count": len(orphans), "hint": "stop them by hand: no daemon restarts, drains or stops them any more",
		})
	}
}

// orphanRecords is everything that may still run.
func (m memory) orphanRecords() []orphanRecord {
	list := slices.Clone(m.Orphans)
	add := func(p processRecord, release string) {
		if p.PID == 0 {
			return
		}
		o := orphanRecord{Orphan: Orphan{ID: p.ID, PID: p.PID}, Ref: p.Ref}
		if release != "" {
			o.ReleaseID = &release
		}
		list = append(list, o)
	}
	for _, r := range m.Releases {
		for _, p := range r.Processes {
			add(p, r.ReleaseID)
		}
	}
	for _, owned := range slices.Concat(m.Services, m.Singletons) {
		add(owned.Process, "")
	}
	return list
}

// livingOrphans are those that still run.
func livingOrphans(list []orphanRecord) []orphanRecord {
	return slices.DeleteFunc(list, func(o orphanRecord) bool {
		if o.Ref.PID == 0 {
			o.Ref = runner.Ref{PID: o.PID}
		}
		return !o.Ref.Alive()
	})
}

// forgetDeadOrphans looks again which orphans still run.
func (s *Supervisor) forgetDeadOrphans() {
	s.mu.Lock()
	list := slices.Clone(s.orphans)
	s.mu.Unlock()
	if len(list) == 0 {
		return
	}
	list = livingOrphans(list)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orphans = list
}

func (s *Supervisor) orphansLocked() []Orphan {
	list := []Orphan{}
	for _, o := range s.orphans {
		list = append(list, o.Orphan)
	}
	return list
}

// forget ends the keeping of the state when the daemon has stopped everything.
// A later daemon finds in it what to bring back; where nothing comes back it
// finds the orphans that still run, or no file.
func (s *Supervisor) forget() {
	if s.state == nil {
		return
	}
	if s.survives() {
		_ = s.state.save() // a failure is an event
		s.state.stop()
		return
	}
	s.state.stop()
	s.forgetDeadOrphans()
	if err := s.leaveOrphans(); err != nil {
		s.noteState(err)
	}
}

// leaveOrphans leaves a file with the orphans, or none.
func (s *Supervisor) leaveOrphans() error {
	s.mu.Lock()
	orphans := s.orphans
	s.mu.Unlock()
	if len(orphans) == 0 {
		err := s.opt.disk.remove(s.opt.State.File)
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	none := []struct{}{}
	b, err := json.MarshalIndent(map[string]any{
		"version": recordVersion, "bootId": s.opt.BootID, "activeReleaseId": nil,
		"orphans": orphans, "releases": none, "services": none, "singletons": none,
	}, "", "  ")
	if err != nil {
		return err
	}
	return s.opt.disk.replace(s.opt.State.File, append(b, '\n'))
}
