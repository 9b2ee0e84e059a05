package systemd

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// CgroupPath is the directory of a unit's ControlGroup in the cgroup v2
// hierarchy, alone or beside v1 controllers; "" where none is mounted, or when
// the unit has none.
func CgroupPath(controlGroup string) string {
	return hierarchy().path(controlGroup)
}

// hierarchy is where the cgroup v2 hierarchy is mounted; that does not change
// while a system runs.
var hierarchy = sync.OnceValue(func() cgroupMount {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return cgroupMount{}
	}
	defer f.Close()
	return findHierarchy(f)
})

// cgroupMount is a mounted cgroup v2 hierarchy, or the part of one below root.
type cgroupMount struct{ root, dir string }

func (m cgroupMount) path(controlGroup string) string {
	if m.dir == "" || controlGroup == "" {
		return ""
	}
	below, ok := strings.CutPrefix(controlGroup, strings.TrimSuffix(m.root, "/"))
	if !ok || below != "" && below[0] != '/' {
		below = controlGroup // the manager has another root than the mount
	}
	return filepath.Join(m.dir, below)
}

// findHierarchy finds the first mount of cgroup v2 in a mountinfo
// (proc_pid_mountinfo(5)); nothing mounted over it hides it in practice.
func findHierarchy(mountinfo io.Reader) cgroupMount {
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		// 31 23 0:26 ROOT DIR OPTIONS [OPTIONAL…] - TYPE SOURCE SUPER
		mount, kind, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		if strings.HasPrefix(kind, "cgroup2 ") && len(fields) >= 5 {
			return cgroupMount{root: unescape.Replace(fields[3]), dir: unescape.Replace(fields[4])}
		}
	}
	return cgroupMount{}
}

// unescape undoes what the kernel does to white space and backslashes there.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// CgroupCounters reads a file of lines "name number" of a cgroup, such as
// memory.stat. The error is fs.ErrNotExist where the controller is not enabled,
// and after the end of the cgroup.
func CgroupCounters(dir, file string) (map[string]int64, error) {
	path := filepath.Join(dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	counters := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: line %q is not a name and a number", path, line)
		}
		counters[name] = n
	}
	return counters, nil
}

// OOMKills is how many processes of a cgroup, or below it, the kernel has killed
// for want of memory; the error is that of CgroupCounters.
func OOMKills(dir string) (int, error) {
	events, err := CgroupCounters(dir, "memory.events")
	return int(events["oom_kill"]), err
}

// CgroupOf is the directory of the cgroup of a process in the cgroup v2
// hierarchy; "" when it is not known.
func CgroupOf(pid int) string {
	lines, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(lines)) {
		if path, unified := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); unified {
			return CgroupPath(path)
		}
	}
	return ""
}
