// Package sockettest helps tests with addresses.
package sockettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePort is a TCP port that nobody listens on. It stays free until the test
// uses it: it is none of those that the kernel hands out by itself (ip(7),
// ip_local_port_range), which other tests get all the time.
func FreePort(t testing.TB) int {
	t.Helper()
	const from, to = 10_000, 30_000
	for range 100 {
		port := from + rand.IntN(to-from)
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("no free port between %d and %d", from, to)
	return 0
}

// FreeAddress is 127.0.0.1 with a FreePort.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}
