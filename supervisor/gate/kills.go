package gate

import (
	"os"
	"path/filepath"

	"rollbridge/supervisor/systemd"
)

// oomKill is what systemd calls the end of a unit that the kernel has killed for
// its memory, or a part of it (systemd.exec(5), $SERVICE_RESULT).
const oomKill = "oom-kill"

// kills counts the processes that the kernel has killed for their memory. Without
// a memory controller it counts none.
type kills struct {
	Unit  int `json:"unit,omitempty"`  // in the unit of this process; systemd makes it anew for each run
	Slice int `json:"slice,omitempty"` // in all units of the application, that one too
}

// killsSoFar reads the counts of the cgroup that this process is in.
func killsSoFar() (k kills) {
	if unit := systemd.CgroupOf(os.Getpid()); unit != "" {
		k.Unit, _ = systemd.OOMKills(unit)
		k.Slice, _ = systemd.OOMKills(filepath.Dir(unit))
	}
	return k
}

// seen says of an end that was seen whether it was one by the kernel. systemd
// may have been told so later than of the end itself.
func (k kills) seen(e exit, now kills) exit {
	if now.Unit > k.Unit {
		e.result = oomKill
	}
	return e
}

// unseen is the end of a run that nobody has seen. With a hard limit all
// processes of a unit are killed at once, and systemd kills what is to note
// their end with them when it is told of the first one before the last. The
// unit's own count is gone then; that of the slice has risen.
func (k kills) unseen(def Definition, now kills) exit {
	e := exit{unseen: true}
	if m := def.Spec.Memory; m != nil && m.HardLimit > 0 && now.Slice > k.Slice {
		e.result = oomKill
	}
	return e
}
