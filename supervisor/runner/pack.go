package runner

import (
	"context"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// A pack is processes that belong together. They fork, end and change parents
// while they are looked at, so every answer about a pack is a repeated look.
type pack interface {
	// members are those that run.
	members() []stat
}

// isEmpty reports whether no member runs. A process that moves while it is
// looked at may be missed once, so it is seen twice.
func isEmpty(p pack) bool {
	for range 2 {
		if len(p.members()) > 0 {
			return false
		}
	}
	return true
}

// namesOf names the members, for people.
func namesOf(p pack) []string {
	var names []string
	for _, m := range p.members() {
		names = append(names, fmt.Sprintf("process %d (%s)", m.pid, m.command))
	}
	return names
}

// pidsOf are the pids of the members.
func pidsOf(p pack) []int {
	var pids []int
	for _, m := range p.members() {
		pids = append(pids, m.pid)
	}
	return pids
}

// awaitGone waits until no member runs.
func awaitGone(ctx context.Context, p pack) error {
	for !isEmpty(p) {
		if err := awaitAll(ctx, p.members()); err != nil {
			return err
		}
	}
	return nil
}

// signalAll sends to every member, looking until a look finds nobody new: a
// member may be born meanwhile, or be missed while it gets a new parent. Those
// for which reached answers true have the signal from elsewhere.
func signalAll(p pack, sig syscall.Signal, reached func(stat) bool) {
	seen := map[int]bool{}
	for fresh := true; fresh; {
		fresh = false
		for _, m := range p.members() {
			if seen[m.pid] {
				continue
			}
			seen[m.pid], fresh = true, true
			if !reached(m) {
				m.signal(sig)
			}
		}
	}
}

// nobody is reached from elsewhere.
func nobody(stat) bool { return false }

// killAll sends SIGKILL until no member runs, beginning each round with first.
// It awaits just those it has killed; the next look finds who was born
// meanwhile.
func killAll(ctx context.Context, p pack, first func()) error {
	for !isEmpty(p) {
		members := p.members()
		first()
		for _, m := range members {
			m.signal(unix.SIGKILL)
		}
		if err := awaitAll(ctx, members); err != nil {
			return err
		}
	}
	return nil
}

func awaitAll(ctx context.Context, members []stat) error {
	for _, m := range members {
		if err := m.await(ctx); err != nil {
			return err
		}
	}
	return nil
}
