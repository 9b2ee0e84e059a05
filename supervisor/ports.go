package supervisor

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

// ports hands out the ports of one deploy.
type ports struct {
	host  string
	taken map[int]bool // by this deploy
	inUse map[int]bool // by processes that are ours, even while they restart
}

// allocatePorts finds a port for every process that wants one, in the order of
// the configuration. A persistent service that has one keeps it. Nothing holds
// a port between this probe and the process's own bind; the health gate checks
// who listens.
func (s *Supervisor) allocatePorts(cfg *config.Config) (map[string]int, error) {
	kept, inUse := s.portsInUse()
	p := ports{host: cfg.Proxy.UpstreamHost, taken: map[int]bool{}, inUse: inUse}
	byID := map[string]int{}
	for _, def := range cfg.Processes {
		if def.Port == nil {
			continue
		}
		if port := kept[def.ID]; def.IsPersistent() && port != 0 {
			byID[def.ID], p.taken[port] = port, true
			continue
		}
		port, err := p.allocate(*def.Port)
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", def.ID, err)
		}
		byID[def.ID], p.taken[port] = port, true
	}
	return byID, nil
}

// portsInUse is the ports of the persistent services by id, and all ports that
// processes of ours own.
func (s *Supervisor) portsInUse() (kept map[string]int, inUse map[int]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, inUse = map[string]int{}, map[int]bool{}
	for _, p := range s.services {
		spec := p.Spec()
		kept[spec.Process] = spec.Port
		inUse[spec.Port] = true
	}
	for _, p := range s.singletons {
		inUse[p.Spec().Port] = true
	}
	for _, r := range s.releases {
		if r.state == stopped {
			continue
		}
		for _, p := range r.processes {
			inUse[p.Spec().Port] = true
		}
	}
	return kept, inUse
}

// allocate finds a free port in the range.
func (p *ports) allocate(r config.PortRange) (int, error) {
	if r.Ephemeral() {
		return p.ephemeral()
	}
	tally := portTally{}
	for port := r.From; port <= r.To; port++ {
		switch err := p.probe(port); {
		case p.taken[port]:
			tally.reserved++
		case p.inUse[port] || errors.Is(err, syscall.EADDRINUSE):
			tally.inUse++
		case err != nil:
			tally.unbindable++
			tally.example = errnoName(err)
		default:
			return port, nil
		}
	}
	return 0, tally.error(r, p.host)
}

// ephemeral lets the kernel choose.
func (p *ports) ephemeral() (int, error) {
	for {
		l, err := net.Listen("tcp", net.JoinHostPort(p.host, "0"))
		if err != nil {
			//lint:ignore ST1005 the text is a contract with scripts
			return 0, fmt.Errorf("Unable to allocate an ephemeral port on %s (%s)", p.host, errnoName(err))
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !p.taken[port] && !p.inUse[port] {
			return port, nil
		}
	}
}

// probe binds a port and lets it go.
func (p *ports) probe(port int) error {
	if p.taken[port] || p.inUse[port] {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(p.host, portText(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// portTally says why no port of a range could be had.
type portTally struct {
	reserved, inUse, unbindable int
	example                     string // errno of one that could not be bound
}

func (t portTally) error(r config.PortRange, host string) error {
	n := r.To - r.From + 1
	word := "ports"
	if n == 1 {
		word = "port"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "No available ports in range %d-%d (%d %s on %s): %d reserved by this deploy, %d already in use",
		r.From, r.To, n, word, host, t.reserved, t.inUse)
	if t.unbindable > 0 {
		fmt.Fprintf(&text, ", %d could not be bound (e.g. %s)", t.unbindable, t.example)
	}
	text.WriteString(". Widen the port range, free a port, or check bind permissions.")
	return errors.New(text.String())
}

// errnoName is the symbolic name of the system error in err: "EACCES".
func errnoName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return err.Error()
}

func portText(port int) string { return strconv.Itoa(port) }
