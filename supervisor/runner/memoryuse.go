package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"rollbridge/supervisor/systemd"
)

// rssOf is the resident memory of the members of a pack, in bytes: each and all
// together. Pages that members share count for each of them. Members that end
// meanwhile use nothing.
func rssOf(p pack) (bytes int64, children []Child) {
	for _, m := range p.members() {
		rss, err := residentOf(m.pid)
		if err != nil {
			continue
		}
		bytes += rss
		children = append(children, Child{PID: m.pid, Command: m.command, RSSBytes: rss})
	}
	return bytes, children
}

// residentOf is the resident memory of a process, in bytes: the second field of
// /proc/PID/statm, which counts pages.
func residentOf(pid int) (int64, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(line))
	if len(fields) < 2 {
		return 0, fmt.Errorf("unexpected form of /proc/%d/statm", pid)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// Memory is what the processes of the cgroup use, by the kernel's account of
// the whole cgroup; where the memory controller is not enabled for it, by that of
// each process.
func (c cgroup) Memory() (bytes int64, children []Child, err error) {
	bytes, children = rssOf(c)
	if held, err := c.held(); err == nil {
		bytes = held
	}
	return bytes, children, nil
}

// held is the memory that the kernel cannot take back from the cgroup without
// swapping: what is charged to it (memory.current) without the page cache and
// the reclaimable part of the slab caches. Whoever writes a large log file fills
// the page cache up to any limit, and that is no reason for a restart.
func (c cgroup) held() (int64, error) {
	charged, err := os.ReadFile(filepath.Join(c.dir, "memory.current"))
	if err != nil {
		return 0, err
	}
	current, err := strconv.ParseInt(strings.TrimSpace(string(charged)), 10, 64)
	if err != nil {
		return 0, err
	}
	stat, err := systemd.CgroupCounters(c.dir, "memory.stat")
	if err != nil {
		return 0, err
	}
	cache := stat["file"] - stat["shmem"] // "file" has shared memory in it, which nothing backs
	return max(0, current-cache-stat["slab_reclaimable"]), nil
}
