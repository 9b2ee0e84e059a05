// Package installed holds the checks of the daemon's own units, on machines with
// each version of systemd that have them as the package installs them: what
// systemd makes of the generator's drop-ins, and that nothing is missing in the
// sandbox.
package installed
