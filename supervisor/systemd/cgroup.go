package systemd

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
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
