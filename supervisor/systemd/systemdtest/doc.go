// Package systemdtest boots test hosts: containers in which a real systemd is
// PID 1, one for each version that rollbridge supports. Tests start hosts and
// drive them from outside (Start, Each), or run inside, as a program on such a
// machine (Main).
//
// It needs root, Debian's systemd-container and mmdebstrap, and a cgroup v2
// hierarchy, alone or beside v1 controllers. Where hosts cannot run, tests fail
// if CI=true is set, and are skipped, with the reason, elsewhere.
package systemdtest

import "os"

// Versions are the versions of systemd to test on.
var Versions = []string{"252", "257"}

// suites are the Debian releases that carry them.
var suites = map[string]string{"252": "bookworm", "257": "trixie"}

// insideVariable tells processes in a host its version.
const insideVariable = "ROLLBRIDGE_TEST_HOST"

// Inside is whether this process runs inside a test host.
func Inside() bool { return os.Getenv(insideVariable) != "" }
