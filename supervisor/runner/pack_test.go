package runner

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// looks is a pack that looks different each time; in the end it stays the same.
type looks [][]stat

func (l *looks) members() []stat {
	now := (*l)[0]
	if len(*l) > 1 {
		*l = (*l)[1:]
	}
	return now
}

// A child of a member that ends just then is an orphan at the next look only.
func TestAMemberMissedByOneLookIsSignalled(t *testing.T) {
	missed := exec.Command("sleep", "1000")
	if err := missed.Start(); err != nil {
		t.Fatal(err)
	}
	defer missed.Wait()
	defer missed.Process.Kill()
	s, err := readStat(missed.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ending := stat{pid: os.Getpid(), started: 1}
	signalAll(&looks{{ending}, {s}}, syscall.SIGUSR1, func(m stat) bool { return m.pid == ending.pid })
	_ = missed.Wait()
	if got := missed.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != syscall.SIGUSR1 {
		t.Errorf("%v", missed.ProcessState)
	}
}
