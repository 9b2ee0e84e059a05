package unitgen

import (
	"syscall"

	"rollbridge/supervisor/config"
)

// GiveUpSignal is the signal a gate ends itself with when its process is not to
// be started again: SIGRTMAX-2. It is no exit status, for a command may end with
// any of those and is restarted.
const GiveUpSignal = syscall.Signal(62)

// Service is the unit of a process that systemd keeps running, behind the gate
// of the definition called id, which is of letters and digits.
func Service(spec config.Spec, id string, h Host) Unit {
	var p Properties
	p.placement(spec, h)
	p.gate(id, h)
	p.restart(spec.Restart)
	p.stop(spec.Stop, endingTime)
	p.add("IgnoreSIGPIPE", false) // as a child of any other program has it
	p.memory(spec.Memory)
	p.journal(spec, h)
	p.add("AddRef", true) // how it ended can be read while the connection lives
	return Unit{ServiceName(spec), p.known(h.Version)}
}

// placement says what the unit is and where it belongs.
func (p *Properties) placement(spec config.Spec, h Host) {
	p.add("Description", description(spec))
	p.add("Slice", SliceName(spec.Application))
	if h.DaemonUnit != "" {
		p.add("Before", []string{OrderName(spec.Application)}) // stopped after the daemon
	}
}

// gate runs the gate. It may wait as long as the restart policy says, and is
// ready when the command is executed.
func (p *Properties) gate(id string, h Host) {
	p.add("Type", "notify")
	p.add("NotifyAccess", "main")
	p.add("TimeoutStartUSec", uint64(Infinity))
	p.add("ExecStart", rollbridge(h, "exec", id))
	p.add("ExecStopPost", rollbridge(h, "exec", "--ended", id))
	p.add("Environment", []string{"ROLLBRIDGE_GATES=" + h.Gates, "ROLLBRIDGE_DEFINITION=" + id})
}

func rollbridge(h Host, args ...string) ExecCommands {
	return ExecCommands{{Path: h.Program, Argv: append([]string{h.Program}, args...)}}
}

// memory lets the kernel end all processes of the unit at the hard limit, at
// once: the rest of a half killed process would answer to no signal but this.
// The soft limits are the daemon's, since MemoryHigh would only slow the
// process down.
func (p *Properties) memory(m *config.Memory) {
	if m == nil {
		return
	}
	p.add("MemoryAccounting", true)
	if m.HardLimit > 0 {
		p.add("MemoryMax", uint64(m.HardLimit))
		p.add("OOMPolicy", "kill")
	}
}
