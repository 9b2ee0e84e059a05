//go:build !brokenswitch

package proxy

// brokenSwitch is true in a build with -tags brokenswitch, whose Drain waits for
// nothing: a load generator that does not see failures in it proves nothing.
const brokenSwitch = false
