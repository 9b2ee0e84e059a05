package systemdtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// newHost makes what a host needs on the outer machine, after taking away what
// killed processes left of theirs. Hosts live in directories of the cache, each
// locked by the process that it belongs to.
func newHost(version string) (*Host, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	hosts := filepath.Join(cache, "hosts")
	if err := os.MkdirAll(hosts, 0o700); err != nil {
		return nil, err
	}
	unlock, err := lockFile(filepath.Join(hosts, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := reap(hosts); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(hosts, "testhost-"+version+"-")
	if err != nil {
		return nil, err
	}
	h := &Host{version: version, name: filepath.Base(dir), dir: dir}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(h.path("disk"), 0o755), os.Mkdir(h.Share(), 0o755)); err != nil {
		return nil, err
	}
	if h.unlock, err = lockFile(h.path("lock")); err != nil {
		return nil, err
	}
	h.cgroup, err = newCgroup(h.name)
	return h, err
}

// reap removes the hosts of processes that are gone.
func reap(hosts string) error {
	dirs, err := filepath.Glob(filepath.Join(hosts, "testhost-*"))
	if err != nil {
		return err
	}
	hierarchy, err := cgroupHierarchy()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := reapHost(dir, hierarchy); err != nil {
			return err
		}
	}
	return nil
}

func reapHost(dir, hierarchy string) error {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has just been stopped
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil // its owner lives
	}
	group := cgroup(filepath.Join(hierarchy, filepath.Base(dir)))
	return errors.Join(group.end(), os.RemoveAll(dir))
}
