// Package socket brings listeners in: those that systemd passes, or freshly
// bound TCP and Unix sockets, for the proxy and for the control protocol.
//
// A Unix socket is never visible with wrong permissions: it is bound under a
// name of its own beside its path, with all rights for its owner only, then
// given owner, group and mode, and only then renamed to its path. Whoever looks
// whether a path is free, takes it or gives it back holds an flock of the
// directory meanwhile, so of two daemons that start at the same instant one
// finds the other's socket, already listening. A socket that systemd has made
// stays systemd's.
//
// Every listener can be asked for a sign of life of its accept loop.
package socket
