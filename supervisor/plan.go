package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"rollbridge/proxy"
	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// target is the release that a deploy or rollback wants active.
type target struct {
	id, path, revision string
}

// completed fills in what was left out: the id is the revision, or the time;
// the revision is the id. The path becomes absolute.
func (t target) completed(now time.Time) (target, error) {
	if t.id == "" {
		t.id = t.revision
	}
	if t.id == "" {
		stamp := now.UTC().Format("20060102150405.000")
		t.id = stamp[:14] + stamp[15:]
	}
	if t.revision == "" {
		t.revision = t.id
	}
	if err := errors.Join(checkID("releaseId", t.id), checkID("revision", t.revision)); err != nil {
		return t, err
	}
	path, err := filepath.Abs(t.path)
	if err != nil {
		return t, err
	}
	t.path = path
	return t, checkDirectory(path)
}

// checkID makes sure that an id can stand in names and paths.
func checkID(field, id string) error {
	if config.ValidID(id) {
		return nil
	}
	return usageError(fmt.Sprintf("%s %q is not a safe identifier", field, id),
		"begin with a letter or digit, then use letters, digits, dots, underscores and hyphens, 200 at most")
}

// checkDirectory says in words what is wrong with a release path.
func checkDirectory(path string) error {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return usageError(fmt.Sprintf("release path %s does not exist", path), "give the directory of the release with --release-path")
	case err != nil:
		return fmt.Errorf("release path: %w", err)
	case !info.IsDir():
		return usageError(fmt.Sprintf("release path %s is not a directory", path), "give the directory of the release with --release-path")
	}
	return nil
}

func usageError(message, hint string) error {
	return &control.Error{Code: "invalid", Message: message, Hint: hint}
}

// plan makes the release: ports and rendered definitions. Nothing runs yet, and
// every template has been rendered that this deploy will need.
func (s *Supervisor) plan(cfg *config.Config, t target) (*release, error) {
	portByID, err := s.allocatePorts(cfg)
	if err != nil {
		return nil, err
	}
	r := &release{
		id: t.id, path: t.path, revision: t.revision, generation: s.nextGeneration(t.id),
		config: cfg, ports: portByID, state: starting, gone: make(chan struct{}), answered: make(chan struct{}),
	}
	specs, err := r.renderAll(s)
	if err != nil {
		return nil, err
	}
	for _, spec := range specs {
		r.add(s.runner.New(spec, s.observe))
	}
	r.upstream = proxy.NewUpstream(r.id, r.upstreamAddr())
	return r, nil
}

// renderAll renders the release's own processes, in their starting order, and
// notes what it wants of the daemon's own.
func (r *release) renderAll(s *Supervisor) (own []config.Spec, err error) {
	for _, belongs := range startingOrder {
		specs, err := r.renderOwn(s, belongs)
		if err != nil {
			return nil, err
		}
		own = append(own, specs...)
	}
	for i := range r.config.Processes {
		if err := r.renderOwned(s, &r.config.Processes[i]); err != nil {
			return nil, err
		}
	}
	return own, nil
}

// add adds a process of the release.
func (r *release) add(p runner.Process) {
	r.processes = append(r.processes, p)
	if p.Spec().Policy == config.Proxied {
		r.web = p
	}
}

// upstreamAddr is where the web process answers.
func (r *release) upstreamAddr() string {
	port := 0
	for _, def := range r.config.Processes {
		if def.Policy == config.Proxied {
			port = r.ports[def.ID]
		}
	}
	return net.JoinHostPort(r.config.Proxy.UpstreamHost, portText(port))
}

// startingOrder is the order in which the processes of a release are started.
var startingOrder = []func(*config.Process) bool{
	func(p *config.Process) bool { return p.IsHandoff() },
	func(p *config.Process) bool { return p.Policy == config.Companion },
	func(p *config.Process) bool { return p.Policy == config.Proxied },
}

// renderOwn renders the release's own processes of one kind, with replicas.
func (r *release) renderOwn(s *Supervisor, belongs func(*config.Process) bool) (specs []config.Spec, err error) {
	for i := range r.config.Processes {
		def := &r.config.Processes[i]
		if !belongs(def) {
			continue
		}
		for replica := range max(1, def.Replicas) {
			spec, err := r.render(s, def, replica)
			if err != nil {
				return nil, err
			}
			specs = append(specs, spec)
		}
	}
	return specs, nil
}

// renderOwned notes what the release wants of a process of the daemon's own.
func (r *release) renderOwned(s *Supervisor, def *config.Process) error {
	if def.Policy != config.Singleton && !def.IsPersistent() {
		return nil
	}
	spec, err := r.render(s, def, 0)
	if err != nil {
		return err
	}
	if def.Policy == config.Singleton {
		r.singletons = append(r.singletons, spec)
	} else {
		r.services = append(r.services, spec)
	}
	return nil
}

func (r *release) render(s *Supervisor, def *config.Process, replica int) (config.Spec, error) {
	return r.config.Render(def, config.Vars{
		Release: r.id, ReleasePath: r.path, Revision: r.revision, Generation: r.generation,
		Replica: replica, Ports: r.ports, LookupEnv: s.opt.LookupEnv,
	})
}

// nextGeneration is the number of the next deployment of a release id.
func (s *Supervisor) nextGeneration(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generations[id] + 1
}

// byProcess finds the process of a configuration entry.
func byProcess(processes []runner.Process, id string) runner.Process {
	for _, p := range processes {
		if p.Spec().Process == id {
			return p
		}
	}
	return nil
}
