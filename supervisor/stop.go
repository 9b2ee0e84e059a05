package supervisor

import (
	"context"
	"fmt"

	"rollbridge/socket/control"
)

// Stop ends a release, by default the active one: it gets no new traffic, is
// drained unless args.Now, and stopped. It answers when that is done. Services
// and singletons go on.
func (s *Supervisor) Stop(ctx context.Context, args StopArgs, progress func(any)) (StatusResult, error) {
	op, err := s.begin(ctx, "stop", args.ReleaseID, args.Wait, progress)
	if err != nil {
		return StatusResult{}, err
	}
	r, err := s.stopRelease(op, args)
	if err != nil {
		return StatusResult{}, err
	}
	op.progress(Progress{Phase: "stop", Message: "wait until " + r.name() + " is stopped"})
	<-r.gone
	return s.status(), r.stopErr
}

// stopRelease takes the traffic from the release and begins its end, which goes
// on in the background, while the operation is over. One that is draining is
// stopped without further wait.
func (s *Supervisor) stopRelease(op *operation, args StopArgs) (*release, error) {
	defer op.end()
	if err := op.commit(); err != nil {
		return nil, err
	}
	r, wasActive, err := s.beginStop(args.ReleaseID)
	if err != nil {
		return nil, err
	}
	// That it is not to come back is on disk before it ends. What fails is tried
	// again, and shown by `status`: the release is stopped all the same.
	_ = s.state.save()
	op.note("release stopping", map[string]any{"releaseId": r.id, "generation": r.generation, "now": args.Now})
	if r.cut != nil && (args.Now || !wasActive) {
		r.cut(errStopNow)
	}
	return r, nil
}

func (s *Supervisor) beginStop(id string) (r *release, wasActive bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.stopTargetLocked(id); r == nil {
		if id == "" {
			id = "active"
		}
		return nil, false, &control.Error{
			Code: "not-found", Message: fmt.Sprintf("Release not found: %s", id),
			Hint: "`rollbridge status` lists the releases",
		}
	}
	r.onRequest = true
	if wasActive = r == s.active; wasActive {
		s.proxy.Switch(nil)
		s.active, s.comeback = nil, nil
		delete(s.problems, resumeCommand)
		s.retireLocked(r, s.config)
	}
	if r.state == stopped {
		r.stopAgainLocked()
	}
	return r, wasActive, nil
}

// stopTargetLocked finds what to stop: of several generations of an id the
// active one, else the newest that is not stopped, else the newest.
func (s *Supervisor) stopTargetLocked(id string) *release {
	if id == "" || s.active != nil && s.active.id == id {
		return s.active
	}
	var found *release
	for _, r := range s.releases {
		if r.id == id && (found == nil || found.state == stopped || r.state != stopped) {
			found = r
		}
	}
	return found
}
