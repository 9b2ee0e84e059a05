package systemdtest

import (
	"context"
	"testing"
)

// Start boots a host for a test, which is stopped at the test's end. Each bind,
// "OUTSIDE:INSIDE", shows a file or directory inside, read-only.
func Start(t testing.TB, version string, binds ...string) *Host {
	t.Helper()
	h, err := Boot(version, binds...)
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			journal, _ := output(h.Command(context.Background(), "journalctl", "--no-pager", "-n", "50"))
			t.Logf("the journal of test host %s ends with\n%s", version, journal)
		}
		if err := h.Stop(); err != nil {
			t.Errorf("stop test host %s: %v", version, err)
		}
	})
	return h
}

// unavailable ends a test that has no host: where hosts cannot run it is skipped,
// but not in CI.
func unavailable(t testing.TB, err error) {
	t.Helper()
	if Excusable(err) {
		t.Skip(err)
	}
	t.Fatal(err)
}

// Each runs a test on a host of each version, both at once.
func Each(t *testing.T, f func(t *testing.T, h *Host)) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f(t, Start(t, version))
		})
	}
}
