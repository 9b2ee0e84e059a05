package runner

import "golang.org/x/sys/unix"

// A descendant that makes itself a daemon keeps neither parent, nor session,
// nor process group; its environment may be cleared or overwritten by its own
// title. What every descendant keeps are the resource limits. RLIMIT_LOCKS has
// had no effect since Linux 2.4.24, so its soft limit serves as a mark: a
// random number for each process that is kept running.

// withTag runs fork while this process has the mark, which the child inherits.
// Where limits may not be set, descendants are still found by session and
// parent, only daemons are not.
func withTag(tag uint64, fork func()) {
	var before unix.Rlimit
	marked := unix.Prlimit(0, unix.RLIMIT_LOCKS, nil, &before) == nil &&
		unix.Prlimit(0, unix.RLIMIT_LOCKS, &unix.Rlimit{Cur: tag, Max: before.Max}, nil) == nil
	fork()
	if marked {
		_ = unix.Prlimit(0, unix.RLIMIT_LOCKS, &before, nil)
	}
}

// hasTag reports whether a process has the mark.
func hasTag(pid int, tag uint64) bool {
	var limit unix.Rlimit
	return unix.Prlimit(pid, unix.RLIMIT_LOCKS, nil, &limit) == nil && limit.Cur == tag
}
