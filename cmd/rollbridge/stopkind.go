package main

import (
	"context"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// stopKind tells, when the daemon is told to end, whether it leaves its
// processes running.
type stopKind func(ctx context.Context) (detach bool)

// stopEverything is the answer where processes end with the daemon, and where
// nobody would start it again.
func stopEverything(context.Context) bool { return false }

// unitManager is what the service manager is asked; *systemd.Bus is one.
type unitManager interface {
	Job(ctx context.Context, unit string) (string, error)
	SystemState(ctx context.Context) (string, error)
}

const (
	// askPatience bounds questions of commands to the service manager.
	askPatience = 2 * time.Second
	// stopPatience bounds the question why the daemon is stopped, on which it
	// depends whether everything is: a manager that is busy may take its time.
	stopPatience = 10 * time.Second
)

// byOwnJob decides by why the daemon is stopped. Only when its unit, or the whole
// machine, is being stopped do its processes end: a restart keeps them, and so
// does a signal of which nobody knows where it came from. A daemon that is no
// unit is started again by nobody.
func byOwnJob(m unitManager, unit string) stopKind {
	if unit == "" {
		return stopEverything
	}
	return func(ctx context.Context) (detach bool) {
		ctx, cancel := context.WithTimeout(ctx, stopPatience)
		defer cancel()
		if job, err := m.Job(ctx, unit); err == nil && job == "stop" {
			return false
		}
		state, err := m.SystemState(ctx)
		return err != nil || state != "stopping"
	}
}

// ownUnit is the name of the unit that this process is the service of, "" when
// it is not run by systemd: somebody in a service who starts a daemon does not
// make it one (systemd.exec(5), $SYSTEMD_EXEC_PID).
func ownUnit(getenv func(string) string) string {
	if getenv("SYSTEMD_EXEC_PID") != strconv.Itoa(os.Getpid()) {
		return ""
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return serviceOf(string(b))
}

// serviceOf finds the innermost service in the unified hierarchy of a
// /proc/PID/cgroup.
func serviceOf(cgroups string) string {
	for line := range strings.Lines(cgroups) {
		group, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; unified && group != "/" && group != "."; group = path.Dir(group) {
			if name := path.Base(group); strings.HasSuffix(name, ".service") {
				return name
			}
		}
	}
	return ""
}
