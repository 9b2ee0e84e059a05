// Package benchsystemd measures what it takes to start, stop, restart, switch
// and adopt processes that systemd keeps running, on every version of it, beside
// a peer: the same done with systemd alone. `make bench-systemd` runs it and
// prints one table. Nothing in it passes or fails by time.
package benchsystemd
