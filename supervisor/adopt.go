package supervisor

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// adopted is a process of an earlier daemon, with what a newer version has
// written about it besides.
type adopted struct {
	runner.Process
	extra extra
}

// inventory is what earlier daemons have left, and what of it is taken already.
type inventory struct{ left []runner.Left }

func newInventory(left []runner.Left) *inventory { return &inventory{slices.Clone(left)} }

// take takes the first thing that matches; nil when there is none.
func (v *inventory) take(matches func(runner.Left) bool) *runner.Left {
	i := slices.IndexFunc(v.left, matches)
	if i < 0 {
		return nil
	}
	left := v.left[i]
	v.left = slices.Delete(v.left, i, i+1)
	return &left
}

// ofSpec takes the process with the role of spec.
func (v *inventory) ofSpec(spec config.Spec) *runner.Left {
	return v.take(func(l runner.Left) bool { return !l.Stranger && sameRole(l.Spec, spec) })
}

// ofProcess takes the process of the daemon's own with that id.
func (v *inventory) ofProcess(policy config.Policy, id string) *runner.Left {
	return v.ofSpec(config.Spec{Process: id, Policy: policy})
}

// specs are the definitions of what is left and matches, in starting order.
func (v *inventory) specs(matches func(config.Spec) bool) (specs []config.Spec) {
	for _, l := range v.left {
		if !l.Stranger && matches(l.Spec) {
			specs = append(specs, l.Spec)
		}
	}
	slices.SortStableFunc(specs, func(a, b config.Spec) int { return cmp.Compare(startingRank(a), startingRank(b)) })
	return specs
}

// startingRank is the place of a process of a release in startingOrder.
func startingRank(spec config.Spec) int {
	p := config.Process{Policy: spec.Policy, DeployStrategy: spec.Strategy}
	return slices.IndexFunc(startingOrder, func(belongs func(*config.Process) bool) bool { return belongs(&p) })
}

// ofRelease reports whether a process ends with its release.
func ofRelease(spec config.Spec) bool { return startingRank(spec) >= 0 }

// sameRole reports whether two definitions are for one process: of a release, or
// of the daemon, where the release does not matter.
func sameRole(a, b config.Spec) bool {
	if ofRelease(a) || ofRelease(b) {
		return ofRelease(a) && ofRelease(b) && a.Instance == b.Instance && a.Release == b.Release && a.Generation == b.Generation
	}
	return a.Policy == b.Policy && a.Process == b.Process
}

// belongsTo reports whether a definition was rendered for the release; it says
// nothing of the daemon's own processes but singletons.
func belongsTo(spec config.Spec, r *release) bool {
	return (ofRelease(spec) || spec.Policy == config.Singleton) && spec.Release == r.id && spec.Generation == r.generation
}

// recordOf finds the record of a process among those of its release, or of the
// daemon's own.
func recordOf(spec config.Spec, records []processRecord) processRecord {
	for _, rec := range records {
		if rec.ID == spec.Instance {
			return rec
		}
	}
	return processRecord{}
}

func ownProcesses(owned []ownedRecord) (records []processRecord) {
	for _, rec := range owned {
		records = append(records, rec.Process)
	}
	return records
}

// found is a process that was adopted, or, when gone, one to be started anew.
type found struct {
	runner.Process
	gone bool
}

// adoptAll adopts the processes with these definitions, all at once.
func (r *resumption) adoptAll(specs []config.Spec, records []processRecord) []found {
	list := make([]found, len(specs))
	var wg sync.WaitGroup
	for i, spec := range specs {
		left := r.left.ofSpec(spec)
		wg.Go(func() {
			p, err := r.adopt(left, spec, recordOf(spec, records))
			if err != nil {
				p = r.s.runner.New(spec, r.s.observe)
			}
			list[i] = found{p, errors.Is(err, runner.ErrGone)}
		})
	}
	wg.Wait()
	return list
}

// The pauses between attempts to adopt a process that is there.
const (
	firstAdoption   = 100 * time.Millisecond
	longestAdoption = 5 * time.Second
)

// adopt takes a process back; spec is for its next start. What can be adopted is
// found by what the runner has listed, else by what is remembered of it. An error
// other than ErrGone means that it may run all the same: it was tried until the
// time for resuming was over, and an event says so.
func (r *resumption) adopt(left *runner.Left, spec config.Spec, rec processRecord) (runner.Process, error) {
	ref := rec.Ref
	switch {
	case left != nil:
		ref = left.Ref
	case ref == runner.Ref{} || r.memory.BootID != r.s.opt.BootID:
		return nil, runner.ErrGone
	}
	for pause := firstAdoption; ; pause = min(2*pause, longestAdoption) {
		p, err := r.s.runner.Adopt(r.ctx, ref, spec, r.s.observe)
		switch {
		case err == nil && len(rec.extra) > 0:
			return &adopted{p, rec.extra}, nil
		case err == nil || errors.Is(err, runner.ErrGone):
			return p, err
		case !wait(r.ctx, pause):
			r.s.Note("process not adopted", map[string]any{"error": err.Error(), "processId": spec.Instance, "releaseId": spec.Release})
			return nil, err
		}
	}
}

// adoptAsIs adopts a process of the daemon's own with the definition it has.
func (r *resumption) adoptAsIs(list *[]runner.Process, left *runner.Left, rec processRecord) {
	p, err := r.adopt(left, left.Spec, rec)
	switch {
	case errors.Is(err, runner.ErrGone):
		return
	case err != nil:
		p = r.s.runner.New(left.Spec, r.s.observe)
	}
	r.own(list, p)
}

// own lists a process of the daemon's own.
func (r *resumption) own(list *[]runner.Process, p runner.Process) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	*list = append(*list, p)
}

// listRestoredLocked lists a release of an earlier daemon in the order that the
// list had then.
func (s *Supervisor) listRestoredLocked(r *release, order []releaseRecord) {
	place := func(r *release) int {
		return slices.IndexFunc(order, func(rec releaseRecord) bool {
			return rec.ReleaseID == r.id && rec.Generation == r.generation
		})
	}
	s.releases = append(s.releases, r)
	slices.SortStableFunc(s.releases, func(a, b *release) int { return cmp.Compare(place(a), place(b)) })
}

// portsOf is the ports of the release that comes back. One that a process is
// left on, or that is free, stays; else another one is taken.
func (r *resumption) portsOf(rel *release) map[string]int {
	list := ports{host: r.config.Proxy.UpstreamHost, taken: map[int]bool{}, inUse: map[int]bool{}}
	byID := map[string]int{}
	for _, def := range r.config.Processes {
		if port := rel.ports[def.ID]; def.Port != nil && port != 0 && (r.left.has(def.ID, port) || list.probe(port) == nil) {
			byID[def.ID], list.taken[port] = port, true
		}
	}
	for _, def := range r.config.Processes {
		if def.Port == nil || byID[def.ID] != 0 {
			continue
		}
		port, err := list.allocate(*def.Port)
		if err != nil {
			r.s.Note("port not allocated", map[string]any{"error": err.Error(), "processId": def.ID, "releaseId": rel.id})
			port = rel.ports[def.ID]
		}
		byID[def.ID], list.taken[port] = port, true
	}
	return byID
}

// has reports whether a process is left on a port.
func (v *inventory) has(process string, port int) bool {
	return slices.ContainsFunc(v.left, func(l runner.Left) bool {
		return !l.Stranger && l.Spec.Process == process && l.Spec.Port == port
	})
}
