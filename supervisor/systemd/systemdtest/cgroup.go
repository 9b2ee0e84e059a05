package systemdtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A cgroup is the directory of a control group of version 2.
type cgroup string

// newCgroup makes a cgroup at the top.
func newCgroup(name string) (cgroup, error) {
	hierarchy, err := cgroupHierarchy()
	if err != nil {
		return "", err
	}
	c := cgroup(filepath.Join(hierarchy, name))
	return c, os.Mkdir(string(c), 0o755)
}

// cgroupHierarchy is where the hierarchy of version 2 is mounted: the only one,
// or beside those of version 1.
func cgroupHierarchy() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" {
			return fields[1], nil
		}
	}
	return "", &needError{"no cgroup v2 hierarchy is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"}
}

func (c cgroup) path(name string) string { return filepath.Join(string(c), name) }

// child makes a cgroup below this one and opens it.
func (c cgroup) child(name string) (*os.File, error) {
	if err := os.Mkdir(c.path(name), 0o755); err != nil {
		return nil, err
	}
	return os.Open(c.path(name))
}

// end kills all processes in the cgroup and below, waits for their end, and
// removes it. One that does not exist is no error.
func (c cgroup) end() error {
	err := os.WriteFile(c.path("cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.awaitEmpty(); err != nil {
		return fmt.Errorf("wait for the processes of %s: %w", c, err)
	}
	var dirs []string
	filepath.WalkDir(string(c), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	return nil
}

func (c cgroup) awaitEmpty() error {
	events, err := os.Open(c.path("cgroup.events"))
	if err != nil {
		return err
	}
	defer events.Close()
	for text := make([]byte, 100); ; {
		n, err := events.ReadAt(text, 0)
		if n == 0 {
			return err
		}
		if strings.Contains(string(text[:n]), "populated 0") {
			return nil
		}
		changed := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(changed, -1); err != nil && err != unix.EINTR {
			return err
		}
	}
}
