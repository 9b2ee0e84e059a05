package runner

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper collects the exit of orphans: descendants whose parent died and which
// the kernel gave to us. It never takes an exit that someone else waits for.
// Those are the children started here, which it knows, and those of os/exec,
// which it tells by their session: they are in ours, while everything a runner
// starts begins a session of its own, and no descendant can come back to ours.
// So other code of this program must not start children with Setsid.
//
// Reaping is driven by SIGCHLD, and looks at our own children only.
type reaper struct {
	// mu is held while a process is forked, so that there is never a child
	// that is not known; it guards what follows.
	mu    sync.Mutex
	known map[int]bool // started here and not yet reaped
	users int
	kick  chan os.Signal
	done  chan struct{}
}

// children is the one reaper: being a parent is a fact of the whole program.
var children = reaper{known: map[int]bool{}}

// open makes this process a subreaper, for the first user.
func (r *reaper) open() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == 0 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
		r.kick, r.done = make(chan os.Signal, 1), make(chan struct{})
		signal.Notify(r.kick, syscall.SIGCHLD)
		go r.loop(r.kick, r.done)
	}
	r.users++
	return nil
}

func (r *reaper) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users == 0 {
		signal.Stop(r.kick)
		close(r.done)
	}
}

func (r *reaper) loop(kick <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-kick:
			r.reapOrphans()
		case <-done:
			r.reapOrphans()
			return
		}
	}
}

// reapOrphans reaps every orphan that has ended.
func (r *reaper) reapOrphans() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reapOrphansLocked()
}

func (r *reaper) reapOrphansLocked() {
	for _, orphan := range r.orphansLocked() {
		if orphan.zombie {
			_, _ = unix.Wait4(orphan.pid, nil, unix.WNOHANG, nil)
		}
	}
}

// orphans are the children that were not started here.
func (r *reaper) orphans() []stat {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.orphansLocked()
}

func (r *reaper) orphansLocked() []stat {
	var found []stat
	own, _ := unix.Getsid(0)
	for _, pid := range childrenOf(os.Getpid()) {
		if r.known[pid] {
			continue
		}
		if s, err := readStat(pid); err == nil && s.session != own {
			found = append(found, s)
		}
	}
	return found
}

// fork starts a program that the caller waits for and reaps, marked with tag.
func (r *reaper) fork(tag uint64, argv []string, attr *syscall.ProcAttr) (pid int, fd int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fd = -1
	attr.Sys.PidFD = &fd
	withTag(tag, func() { pid, err = syscall.ForkExec(argv[0], argv, attr) })
	if err != nil {
		return 0, -1, err
	}
	r.known[pid] = true
	if fd < 0 {
		if fd, err = unix.PidfdOpen(pid, 0); err != nil {
			_ = unix.Kill(pid, unix.SIGKILL)
			r.reapLocked(pid)
			return 0, -1, err
		}
	}
	return pid, fd, nil
}

// reap gives the number of an ended process back to the kernel, and those of
// what it left.
func (r *reaper) reap(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reapLocked(pid)
	r.reapOrphansLocked()
}

func (r *reaper) reapLocked(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	delete(r.known, pid)
}
