//go:build brokenswitch

package proxy

// brokenSwitch makes Drain wait for nothing; see broken_off.go.
const brokenSwitch = true
