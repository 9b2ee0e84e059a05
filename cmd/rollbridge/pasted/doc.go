// Package pasted holds the check that the commands in docs/systemd.md and
// docs/nginx.md work when they are pasted, one block after the other, on a machine
// with each version of systemd, and that all comes back after a reboot.
package pasted
