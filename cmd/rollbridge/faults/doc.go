// Package faults holds the checks of what rollbridge survives on a machine with
// systemd: the built daemon runs as a unit, real processes run as units of
// their own, and the tests kill, stop and restart one or the other, or the bus,
// the journal and systemd itself. They run inside test hosts, as root, and ask
// nothing of the inside.
package faults
