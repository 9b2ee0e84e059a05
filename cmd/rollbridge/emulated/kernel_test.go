package emulated

import (
	"os/exec"
	"strings"
	"testing"
)

func TestAProcessOverTheHardLimitIsKilledAndCounted(t *testing.T) {
	out, err := exec.Command("systemd-run", "--wait", "--pipe", "--quiet", "--property=MemoryMax=30M", "--property=MemorySwapMax=0",
		"--property=OOMPolicy=continue", "sh", "-c", `tail /dev/zero; cat "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.events"`).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\noom_kill 1\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAUnitWhoseProcessIsKilledForMemorySaysSo(t *testing.T) {
	exec.Command("systemd-run", "--wait", "--quiet", "--unit=hog", "--property=MemoryMax=30M", "--property=MemorySwapMax=0", "tail", "/dev/zero").Run()
	out, err := exec.Command("systemctl", "show", "--property=Result", "hog.service").CombinedOutput()
	if err != nil || string(out) != "Result=oom-kill\n" {
		t.Errorf("%v: %s", err, out)
	}
}
