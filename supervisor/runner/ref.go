package runner

// BootID names the current boot of the machine; it changes at each.
func BootID() string { return bootID() }

// Alive reports whether the very process that ref names by its pid still runs:
// not another one with the same number, and not one of an earlier boot.
func (r Ref) Alive() bool {
	if r.PID == 0 || r.BootID != "" && r.BootID != bootID() {
		return false
	}
	s, err := readStat(r.PID)
	return err == nil && !s.zombie && (r.StartTime == 0 || s.started == r.StartTime)
}
