package config

import "io/fs"

// Process returns the definition of a process, nil when there is none.
func (c *Config) Process(id string) *Process {
	for i := range c.Processes {
		if c.Processes[i].ID == id {
			return &c.Processes[i]
		}
	}
	return nil
}

// LiveChanges returns the keys in which next differs from old and that a
// running daemon cannot change: always in this order, empty when next can be
// deployed.
func (old *Config) LiveChanges(next *Config) []string {
	var changed []string
	note := func(key string, differs bool) {
		if differs {
			changed = append(changed, key)
		}
	}
	note("application", old.Application != next.Application)
	note("control", !old.Control.equal(next.Control))
	note("statePath", old.StatePath != next.StatePath)
	note("proxy.host", old.Proxy.Host != next.Proxy.Host)
	note("proxy.port", old.Proxy.Port != next.Proxy.Port)
	note("proxy.listen", !old.Proxy.sameListen(next.Proxy) && !(old.Proxy.isPlain() && next.Proxy.isPlain()))
	note("proxy.upstreamHost", old.Proxy.UpstreamHost != next.Proxy.UpstreamHost)
	note("processes", !old.sameProcesses(next))
	return changed
}

func (c Control) equal(o Control) bool {
	return c.Path == o.Path && c.Owner == o.Owner && c.Group == o.Group && sameMode(c.Mode, o.Mode)
}

func sameMode(a, b *fs.FileMode) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// sameProcesses compares what decides who owns a process and where it listens.
// The order does not matter.
func (old *Config) sameProcesses(next *Config) bool {
	if len(old.Processes) != len(next.Processes) {
		return false
	}
	for i := range old.Processes {
		p := &old.Processes[i]
		if n := next.Process(p.ID); n == nil || !p.samePlace(n) {
			return false
		}
	}
	return true
}

func (p *Process) samePlace(o *Process) bool {
	return p.Policy == o.Policy && p.DeployStrategy == o.DeployStrategy && p.Replicas == o.Replicas && samePort(p.Port, o.Port)
}

func samePort(a, b *PortRange) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
