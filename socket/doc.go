// Package socket brings listeners in: the TCP socket of the proxy and the Unix
// socket of the control protocol.
//
// A control socket is never visible with wrong permissions: it is bound under a
// name of its own beside its path, with all rights for its owner only, then
// given owner, group and mode, and only then renamed to its path. Whoever looks
// whether a path is free, takes it or gives it back holds an flock of the
// directory meanwhile, so of two daemons that start at the same instant one
// finds the other's socket, already listening.
package socket
