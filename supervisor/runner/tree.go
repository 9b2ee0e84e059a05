package runner

import (
	"context"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is a command with all its descendants. Its roots are children of ours:
// the command's shell, and the orphans among our children that began below it.
// All other members are found from there by their parents, so nothing looks at
// processes that are not ours.
type tree struct {
	reaper *reaper
	tag    uint64
	shell  int // not reaped before nothing is left, so its number stays taken
}

// members are the processes that run.
func (t tree) members() []stat {
	found := t.roots()
	for i := 0; i < len(found); i++ {
		for _, pid := range childrenOf(found[i].pid) {
			if s, err := readStat(pid); err == nil && !s.zombie {
				found = append(found, s)
			}
		}
	}
	return unique(found)
}

// unique drops the second sight of a process that got a new parent meanwhile.
func unique(found []stat) []stat {
	slices.SortStableFunc(found, func(a, b stat) int { return a.pid - b.pid })
	return slices.CompactFunc(found, func(a, b stat) bool { return a.pid == b.pid })
}

func (t tree) roots() []stat {
	var found []stat
	if s, err := readStat(t.shell); err == nil && !s.zombie {
		found = append(found, s)
	}
	for _, s := range t.reaper.orphans() {
		if !s.zombie && t.owns(s) {
			found = append(found, s)
		}
	}
	return found
}

func (t tree) owns(orphan stat) bool {
	return orphan.session == t.shell || orphan.group == t.shell || hasTag(orphan.pid, t.tag)
}

// signal sends to the process group in one step, so that no fork slips through,
// and to every member that has left it.
func (t tree) signal(sig syscall.Signal) {
	t.signalGroup(sig)
	signalAll(t, sig, func(m stat) bool { return m.group == t.shell })
}

func (t tree) signalGroup(sig syscall.Signal) { _ = unix.Kill(-t.shell, sig) }

// open makes sure of a process seen before; ESRCH means that it is gone.
func (s stat) open() (pidfd, error) {
	fd, err := openPidfd(s.pid)
	if err != nil {
		return pidfd{}, err
	}
	if now, err := readStat(s.pid); err != nil || now.started != s.started {
		fd.close()
		return pidfd{}, unix.ESRCH
	}
	return fd, nil
}

func (s stat) signal(sig syscall.Signal) {
	fd, err := s.open()
	if err != nil {
		return
	}
	defer fd.close()
	_ = fd.signal(sig) // not permitted: it shows when it is waited for
}

// await waits for the end of the process.
func (s stat) await(ctx context.Context) error {
	fd, err := s.open()
	switch err {
	case nil:
		defer fd.close()
		return fd.exited(ctx)
	case unix.ESRCH:
		return nil
	}
	return outOfDescriptors(ctx)
}

// outOfDescriptors waits a moment before the next try, the only thing left to
// do while no process can be opened.
func outOfDescriptors(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
