package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"rollbridge/proxy"
	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// resumeCommand is what the operation is called that brings a release back.
const resumeCommand = "resume"

// Resume takes up what earlier daemons have left: it is the one way in, at a
// first start, after a restart or crash of the daemon and after a boot. Call it
// once, before the proxy serves. It adopts what runs and moves traffic to the
// active release; what is gone is started again in the background, while
// requests are held, see Resumed. The error means that it is not known what
// runs, so that nothing may be started.
func (s *Supervisor) Resume(ctx context.Context) error {
	s.resuming.Lock()
	defer s.resuming.Unlock()
	m := memory{missing: true}
	if s.state != nil {
		defer close(s.takenUp)
		m = s.recall()
	}
	s.mu.Lock()
	s.extra = m.extra
	s.mu.Unlock()
	if err := s.opt.Broken; err != nil {
		s.Note("configuration file broken", map[string]any{"error": err.Error(), "path": s.opt.Config.File})
	}
	if !s.survives() {
		s.reportOrphans(m)
		s.state.start()
		s.state.touch()
		if s.state != nil {
			close(s.resumeBegun)
		}
		close(s.resumed)
		return nil
	}
	left, err := s.runner.Left(ctx)
	if err == nil {
		err = m.checkApplication(s.opt.Config.Application)
	}
	if err != nil {
		return fmt.Errorf("find what earlier daemons left: %w", err)
	}
	m = s.withoutOutlived(m, left)
	op, err := s.begin(ctx, resumeCommand, "", false, func(any) {})
	close(s.resumeBegun)
	if err != nil { // it is to end already; the next daemon takes it up
		close(s.resumed)
		return nil
	}
	s.takeUp(ctx, op, m, left)
	return nil
}

// withoutOutlived forgets a state whose instance is gone: the configuration that
// it was kept for and the active release do not exist any more, and nothing of
// it runs, so that there is nothing to bring back. An application that is set up
// anew elsewhere begins anew.
func (s *Supervisor) withoutOutlived(m memory, left []runner.Left) memory {
	rec := m.active()
	if rec == nil || m.Config == "" || m.Config == s.opt.Config.File || exists(m.Config) || exists(rec.ReleasePath) ||
		slices.ContainsFunc(left, func(l runner.Left) bool { return !l.Stranger }) {
		return m
	}
	kept, err := keepAside(m.path, "gone", time.Now())
	data := map[string]any{"config": m.Config, "kept": kept, "path": m.path, "releaseId": rec.ReleaseID}
	if err != nil {
		data["keptError"] = err.Error()
	}
	s.Note("state of an instance that is gone set aside", data)
	return memory{missing: true, path: m.path}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Resumed is closed when the release that came back answers, when nothing had to
// come back, and when it could not for now: then `status` tells why, and it is
// tried again. It takes `resumeTimeoutMs` at most.
func (s *Supervisor) Resumed() <-chan struct{} { return s.resumed }

// CheckState is the error of a state file that is that of another application.
func CheckState(path, application string) error { return readState(path).checkApplication(application) }

// checkApplication makes sure that the state is that of an application. What
// another one has left would not be seen: units are named after it.
func (m memory) checkApplication(application string) error {
	if m.Application == "" || m.Application == application || m.ActiveReleaseID == nil && len(m.Services) == 0 && len(m.Singletons) == 0 {
		return nil
	}
	return &control.Error{
		Code:    "other-application",
		Message: fmt.Sprintf("%s remembers application %q, not %q", m.path, m.Application, application),
		Hint:    fmt.Sprintf("set `application: %s` again; to rename it, `rollbridge stop` and `rollbridge shutdown` it first, and remove that file", m.Application),
	}
}

// takeUp goes through everything that is remembered and everything that is
// there, in the order of its worth to clients.
func (s *Supervisor) takeUp(ctx context.Context, op *operation, m memory, left []runner.Left) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Config.ResumeTimeout)
	defer cancel()
	r := &resumption{s: s, ctx: ctx, memory: m, left: newInventory(left), config: s.opt.Config}
	r.leaveStrangers()
	r.guess()
	r.undoInterrupted()
	r.listStopped()
	r.takeActive()
	r.takeServices()
	r.takeSingletons()
	r.takeDraining()
	r.discardUnowned()

	s.state.start()
	if s.state.save() == nil && m.path != s.opt.State.File {
		r.forgetMovedState()
	}
	s.comeBack(op, r)
}

// forgetMovedState removes the file in the old place: it would be out of date
// when `statePath` is set back.
func (r *resumption) forgetMovedState() {
	if !r.memory.missing {
		r.s.opt.disk.remove(r.memory.path) // what cannot be removed is told by the next move
	}
}

// resumption is one pass of Resume.
type resumption struct {
	s      *Supervisor
	ctx    context.Context // ends when resuming has taken too long
	memory memory
	left   *inventory
	config *config.Config // of the release that comes back, else of the file

	back       *release         // nil when none comes back
	services   []runner.Process // of those it needs, the ones that are gone
	processes  []runner.Process // of its own, the ones that are gone, in starting order
	singletons []config.Spec    // those to be started, or replaced
}

// leaveStrangers reports units that look like ours and are not.
func (r *resumption) leaveStrangers() {
	for {
		stranger := r.left.take(func(l runner.Left) bool { return l.Stranger })
		if stranger == nil {
			return
		}
		r.s.Note("unit without a definition left alone", map[string]any{"unit": stranger.Unit})
	}
}

// undoInterrupted tells of a deploy that had not committed when its daemon ended.
// Nobody takes its processes, so discardUnowned ends them. Like those of every
// release that is remembered, its generation is not used again.
func (r *resumption) undoInterrupted() {
	for _, rec := range r.memory.Releases {
		if rec.State == string(starting) {
			r.s.Note("interrupted deploy undone", map[string]any{"releaseId": rec.ReleaseID, "generation": rec.Generation})
		}
		r.s.countGeneration(rec.ReleaseID, rec.Generation)
	}
}

// countGeneration makes sure that the next deploy of a release id gets a number
// that was not in use.
func (s *Supervisor) countGeneration(id string, generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generations[id] = max(s.generations[id], generation)
}

// listStopped lists the releases that can be gone back to.
func (r *resumption) listStopped() {
	for _, rec := range r.memory.Releases {
		if rec.State == string(stopped) {
			rel := r.restore(rec)
			rel.state = stopped
			close(rel.gone)
			r.list(rel)
		}
	}
}

func (r *resumption) list(rel *release) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.listRestoredLocked(rel, r.memory.Releases)
}

// restore makes a release of its record; nothing of it is adopted yet.
func (r *resumption) restore(rec releaseRecord) *release {
	return &release{
		id: rec.ReleaseID, path: rec.ReleasePath, revision: rec.Revision, generation: rec.Generation,
		configDigest: rec.ConfigDigest, ports: rec.Ports, extra: rec.extra,
		activatedAt: parseTime(rec.ActivatedAt), drainStartedAt: parseTime(rec.DrainStartedAt), stoppedAt: parseTime(rec.StoppedAt),
		onRequest: rec.OnRequest, proven: rec.ProvenAt, answered: make(chan struct{}), gone: make(chan struct{}),
		upstream: proxy.NewUpstream(rec.ReleaseID, ""),
	}
}

// takeActive adopts the active release and moves traffic to it. What is gone of
// it is noted, to be started; while its web process is not known to be healthy,
// requests are held.
func (r *resumption) takeActive() {
	rec := r.memory.active()
	if rec == nil {
		r.s.Note("nothing to come back", nil)
		return
	}
	r.config = r.s.configInForce(rec.ConfigDigest)
	r.s.settleInForce(r.config)
	rel := r.restore(*rec)
	rel.state, rel.config, r.back = active, r.config, rel
	rel.ports = r.portsOf(rel)
	specs := r.specsOf(rel)
	for _, p := range r.adoptAll(specs, rec.Processes) {
		rel.add(p.Process)
		if p.gone {
			r.processes = append(r.processes, p.Process)
		}
	}
	rel.upstream = proxy.NewUpstream(rel.id, rel.upstreamAddr())
	r.serve(rel)
	r.s.Note("release resumed", map[string]any{
		"releaseId": rel.id, "generation": rel.generation,
		"adopted": len(specs) - len(r.processes), "gone": len(r.processes),
	})
}

// serve moves traffic to the release that came back.
func (r *resumption) serve(rel *release) {
	s := r.s
	if rel.web == nil {
		s.setProblem(resumeCommand, fmt.Sprintf("%s has no web process: deploy again", rel.name()))
	} else if st, _ := rel.web.Watch(); st.State != runner.Running || !st.StartedAt.Equal(rel.proven) {
		rel.upstream.Suspend()
	}
	s.mu.Lock()
	s.active, s.comeback, s.config = rel, rel, rel.config
	s.listRestoredLocked(rel, r.memory.Releases)
	s.proxy.Configure(s.proxyOptions(rel.config))
	if rel.web != nil {
		s.proxy.Switch(rel.upstream)
	}
	s.mu.Unlock()
	if rel.web != nil {
		s.background.Go(func() { s.holdWhileDown(rel) })
	}
}

// specsOf renders the processes of the release that comes back. When that is not
// possible, they go on with the definitions they run with.
func (r *resumption) specsOf(rel *release) []config.Spec {
	specs, err := rel.renderAll(r.s)
	if err == nil {
		return specs
	}
	r.s.Note("release not rendered", map[string]any{"error": err.Error(), "releaseId": rel.id, "generation": rel.generation})
	rel.services, rel.singletons = nil, nil
	return r.left.specs(func(spec config.Spec) bool { return belongsTo(spec, rel) })
}

// takeServices adopts the persistent services, and notes those that the release
// that comes back needs besides. Those that only an interrupted deploy had
// started are not taken, unless that release needs them.
func (r *resumption) takeServices() {
	if r.back != nil {
		for _, p := range r.adoptAll(r.back.services, ownProcesses(r.memory.Services)) {
			r.own(&r.s.services, p.Process)
			if p.gone {
				r.services = append(r.services, p.Process)
			}
		}
	}
	for _, rec := range r.memory.Services {
		if r.interrupted(rec.ID) {
			continue
		}
		if left := r.left.ofProcess(config.Service, rec.ID); left != nil {
			r.adoptAsIs(&r.s.services, left, rec.Process)
		}
	}
}

// interrupted reports whether a service was brought up by a deploy that did not
// commit.
func (r *resumption) interrupted(id string) bool {
	return slices.ContainsFunc(r.memory.Releases, func(rec releaseRecord) bool {
		return rec.State == string(starting) && slices.Contains(rec.StartedServices, id)
	})
}

// takeSingletons adopts the singletons as what they are. Those that do not belong
// to the release that comes back are to be replaced, and missing ones started:
// never two, so one that may run somewhere is not started.
func (r *resumption) takeSingletons() {
	if r.back != nil {
		for _, spec := range r.back.singletons {
			r.takeSingleton(spec)
		}
	}
	for _, rec := range r.memory.Singletons {
		if left := r.left.ofProcess(config.Singleton, rec.ID); left != nil {
			r.adoptAsIs(&r.s.singletons, left, rec.Process)
		}
	}
}

func (r *resumption) takeSingleton(spec config.Spec) {
	rec := recordOf(spec, ownProcesses(r.memory.Singletons))
	left := r.left.ofProcess(config.Singleton, spec.Process)
	current := spec
	if left != nil && !belongsTo(left.Spec, r.back) {
		current = left.Spec
	}
	p, err := r.adopt(left, current, rec)
	switch {
	case err == nil:
		r.own(&r.s.singletons, p)
		if belongsTo(current, r.back) {
			return
		}
	case err != runner.ErrGone:
		r.own(&r.s.singletons, r.s.runner.New(current, r.s.observe))
		return
	}
	r.singletons = append(r.singletons, spec)
}

// takeDraining adopts what still drains, and goes on with it for the time that
// is left. A release that was replaced, but had not begun to drain, begins now.
func (r *resumption) takeDraining() {
	for _, rec := range r.memory.Releases {
		isBack := r.back != nil && r.back.id == rec.ReleaseID && r.back.generation == rec.Generation
		if !isBack && (rec.State == string(draining) || rec.State == string(active)) {
			r.takeRetired(rec)
		}
	}
}

func (r *resumption) takeRetired(rec releaseRecord) {
	rel := r.restore(rec)
	rel.config, rel.state = r.config, draining
	if rel.drainStartedAt.IsZero() {
		rel.drainStartedAt = time.Now()
	}
	for _, spec := range r.left.specs(func(spec config.Spec) bool { return belongsTo(spec, rel) }) {
		left := r.left.ofSpec(spec)
		p, err := r.adopt(left, spec, recordOf(spec, rec.Processes))
		if err == nil {
			rel.add(p)
		}
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.listRestoredLocked(rel, r.memory.Releases)
	r.s.drainLocked(rel, r.config)
}

// discardUnowned ends, in the background, what earlier daemons of ours have
// started and nobody is to keep: of a deploy that did not commit, for one.
func (r *resumption) discardUnowned() {
	var unowned []runner.Left
	for {
		left := r.left.take(func(runner.Left) bool { return true })
		if left == nil {
			break
		}
		unowned = append(unowned, *left)
	}
	r.s.background.Go(func() { r.s.discardAll(unowned) })
}

// discardAll ends what is left over, handoff services last.
func (s *Supervisor) discardAll(list []runner.Left) {
	var late []runner.Left
	var first, last sync.WaitGroup
	for _, left := range list {
		if left.Spec.Policy == config.Service {
			late = append(late, left)
			continue
		}
		first.Go(func() { s.discardLeft(left) })
	}
	first.Wait()
	for _, left := range late {
		last.Go(func() { s.discardLeft(left) })
	}
	last.Wait()
}

func (s *Supervisor) discardLeft(left runner.Left) {
	data := map[string]any{"processId": left.Spec.Instance, "releaseId": left.Spec.Release, "generation": left.Spec.Generation, "unit": left.Unit}
	if err := s.runner.Discard(s.life, left); err != nil && err != runner.ErrGone {
		data["error"] = err.Error()
	}
	s.Note("left-over process stopped", data)
}
