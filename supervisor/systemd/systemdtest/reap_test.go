package systemdtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain has a second face: a process that boots a host, says which, and waits
// to be killed.
func TestMain(m *testing.M) {
	if version := os.Getenv("SYSTEMDTEST_BOOT"); version != "" {
		h, err := Boot(version)
		if err != nil {
			panic(err)
		}
		fmt.Println(h.leader, h.cgroup, h.dir)
		select {}
	}
	os.Exit(m.Run())
}

func TestAStoppedHostLeavesNothing(t *testing.T) {
	needHosts(t)
	h, err := Boot("252")
	if err != nil {
		t.Fatal(err)
	}
	gone := exitOf(t, h.leader)
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	gone()
	nothingLeft(t, string(h.cgroup), h.dir)
}

func TestAKilledTestLeavesNoProcessAndTheNextHostRemovesTheRest(t *testing.T) {
	needHosts(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SYSTEMDTEST_BOOT=257")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	var leader int
	var group, dir string
	if _, err := fmt.Sscan(line, &leader, &group, &dir); err != nil {
		t.Fatal(line, err)
	}
	gone := exitOf(t, leader)
	cmd.Process.Kill()
	cmd.Wait()
	gone()
	Start(t, "252")
	nothingLeft(t, group, dir)
}

// exitOf gives a function that waits for the end of a process.
func exitOf(t *testing.T, pid int) (wait func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer unix.Close(fd)
		ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ended, int(bootTimeout.Milliseconds()))
		for err == unix.EINTR {
			n, err = unix.Poll(ended, int(bootTimeout.Milliseconds()))
		}
		if n != 1 {
			t.Fatalf("PID %d does not end: %v", pid, err)
		}
	}
}

// nothingLeft checks that a host has no cgroup, no directory and no mount.
func nothingLeft(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), filepath.Base(paths[0])) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
}
