package runner

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/systemd"
)

// cgroup is the directory, in the unified hierarchy, of everything that a unit
// runs. One that is gone has no members.
type cgroup struct{ dir string }

// members are the processes in the cgroup and below it. Zombies are not listed
// (cgroups(7), cgroup.procs).
func (c cgroup) members() []stat {
	var found []stat
	for _, dir := range c.dirs() {
		found = append(found, processesIn(dir)...)
	}
	return unique(found)
}

// ids are the numbers by which the kernel knows the cgroup and those below it.
func (c cgroup) ids() []uint64 {
	var ids []uint64
	for _, dir := range c.dirs() {
		var s unix.Stat_t
		if unix.Stat(dir, &s) == nil {
			ids = append(ids, s.Ino) // the whole of it on 64 bits
		}
	}
	return ids
}

// dirs are the directories of the cgroup and of those below it.
func (c cgroup) dirs() []string {
	if c.dir == "" {
		return nil
	}
	var dirs []string
	_ = filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

// processesIn reads the processes of one cgroup.
func processesIn(dir string) []stat {
	list, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var found []stat
	for field := range strings.FieldsSeq(string(list)) {
		pid, err := strconv.Atoi(field)
		if err != nil || pid == 0 { // 0 is a process outside of our namespace
			continue
		}
		if s, err := readStat(pid); err == nil && !s.zombie {
			found = append(found, s)
		}
	}
	return found
}

// signal sends to every member.
func (c cgroup) signal(sig syscall.Signal) { signalAll(c, sig, nobody) }

// cgroupOf is the cgroup of a process.
func cgroupOf(pid int) cgroup { return cgroup{systemd.CgroupOf(pid)} }
