// Package acceptance holds the checks of the whole program as its user sees it:
// the built binary, real processes, real sockets. They ask nothing of the
// inside, so that the same checks hold for every runner.
//
// ROLLBRIDGE_BIN names the binary to check; without it one is built.
package acceptance
