// Package emulated holds the checks that need a kernel of their own. Containers
// have no memory controller where the outer machine keeps it in cgroups of
// version 1, and share the outer machine's kernel and clock. `make test-vm` runs
// them, against the built program.
package emulated
