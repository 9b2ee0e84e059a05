// Package pasted holds the checks that the commands in README.md and docs work when
// they are pasted, one block after the other, on a machine with each version of
// systemd, and that all comes back after a reboot.
package pasted
