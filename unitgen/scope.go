package unitgen

import "rollbridge/supervisor/config"

// Scope is the unit around a process that the daemon has forked, the n-th
// instance of its definition. Without a pid, 0, it is a scope for reading only.
// systemd forgets it when its last process has ended, however that was, and the
// daemon does not hold it any more.
func Scope(spec config.Spec, n, pid int, h Host) Unit {
	var p Properties
	p.placement(spec, h)
	p.add("CollectMode", "inactive-or-failed")
	p.stop(spec.Stop, 0)
	p.memory(spec.Memory)
	if pid != 0 {
		p.add("PIDs", []uint32{uint32(pid)})
	}
	p.add("AddRef", true) // whether the kernel ended it for its memory can be read afterwards
	return Unit{ScopeName(spec, n), p.known(h.Version)}
}
