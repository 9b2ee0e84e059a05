package unitgen_test

import (
	"syscall"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

// A sample is a unit that the golden files show and that real hosts start.
type sample struct {
	name string
	unit unitgen.Unit
}

// samples are units of every policy, and of whatever changes a unit.
func samples(h unitgen.Host) []sample {
	service := func(name string, change func(*config.Spec)) sample {
		spec := worker()
		change(&spec)
		return sample{name, unitgen.Service(spec, "k3v9x2", h)}
	}
	scope := func(name string, pid int, change func(*config.Spec)) sample {
		spec := web()
		change(&spec)
		return sample{name, unitgen.Scope(spec, 3, pid, h)}
	}
	return []sample{
		service("companion", func(s *config.Spec) {}),
		service("replica", func(s *config.Spec) { s.Instance, s.Replica = "worker#2", 2 }),
		service("generation", func(s *config.Spec) { s.Generation = 2 }),
		service("handoff", func(s *config.Spec) {
			s.Process, s.Instance, s.Policy, s.Strategy = "hub", "hub", config.Service, config.Handoff
		}),
		service("singleton", func(s *config.Spec) { s.Process, s.Instance, s.Policy = "clock", "clock", config.Singleton }),
		service("persistent", func(s *config.Spec) {
			s.Process, s.Instance, s.Policy, s.Generation = "broker", "broker", config.Service, 2
		}),

		service("never-restarted", func(s *config.Spec) { s.Restart.Max = 0 }),
		service("restarted-for-ever", func(s *config.Spec) { s.Restart.Max = config.Unlimited }),
		service("restarts-of-a-life", func(s *config.Spec) { s.Restart = config.Restart{Max: 5, Delay: 2 * time.Second} }),
		service("long-delay", func(s *config.Spec) { s.Restart.Delay = 90500 * time.Millisecond }),
		service("capped-delay", func(s *config.Spec) { s.Restart.Delay, s.Restart.MaxDelay = 2*time.Second, 900*time.Millisecond }),

		service("indefinite-grace", func(s *config.Spec) { s.Stop.Grace = config.Indefinite }),
		service("no-grace", func(s *config.Spec) { s.Stop.Grace = 0 }),
		service("short-grace", func(s *config.Spec) { s.Stop.Grace = 300 * time.Millisecond }),
		service("other-signal", func(s *config.Spec) { s.Stop.Signal = syscall.SIGQUIT }),
		service("watched-memory", func(s *config.Spec) { s.Memory = &config.Memory{Limit: 1 << 29} }),
		service("limited-memory", func(s *config.Spec) { s.Memory = &config.Memory{Limit: 1 << 29, HardLimit: 1 << 30} }),
		service("strange-names", func(s *config.Spec) {
			s.Application, s.Process, s.Instance, s.Release = `Größe 50% "$HOME" my-shop\`, "a.b-c", "a.b-c", "v1.2-rc_3"
		}),

		scope("proxied", 4711, func(s *config.Spec) {}),
		scope("proxied-indefinite-grace", 4711, func(s *config.Spec) { s.Stop.Grace = config.Indefinite }),
		scope("proxied-no-grace", 4711, func(s *config.Spec) { s.Stop.Grace = 0 }),
		scope("proxied-limited-memory", 4711, func(s *config.Spec) { s.Memory = &config.Memory{Limit: 1 << 29, HardLimit: 1 << 30} }),
		scope("proxied-for-reading", 0, func(s *config.Spec) {}),
	}
}

// worker is a companion with everything common.
func worker() config.Spec {
	return config.Spec{
		Application: "shop", Process: "worker", Instance: "worker", Policy: config.Companion, Strategy: config.Persistent,
		Release: "v42", Generation: 1, ReleasePath: "/srv/shop/v42", Revision: "1f3a9c2",
		Command: "exec ./worker", Dir: "/srv/shop/v42", Env: []string{"SECRET=never shown"}, User: "app",
		Stop:    config.Stop{Signal: syscall.SIGTERM, Grace: 10 * time.Second},
		Restart: config.Restart{Delay: 500 * time.Millisecond, Max: 3, Window: time.Minute, Factor: 2},
	}
}

// web is a process that the daemon forks.
func web() config.Spec {
	spec := worker()
	spec.Process, spec.Instance, spec.Policy = "web", "web", config.Proxied
	return spec
}

// system is a host with a daemon that is a unit.
func system(version int) unitgen.Host {
	return unitgen.Host{
		Version: version, Program: "/usr/bin/rollbridge",
		Gates: "/run/rollbridge/shop/exec", DaemonUnit: "rollbridge.service",
	}
}
