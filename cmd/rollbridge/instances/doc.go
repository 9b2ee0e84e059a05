// Package instances holds the checks of how the command line meets the daemons of
// a host: the units of the package are installed, several instances lie side by
// side, and commands are given by root, by a user in the group of the control
// socket and by others. They run inside test hosts, as root.
package instances
