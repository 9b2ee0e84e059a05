package faults

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"
)

func TestThereAreNeverTwoSingletons(t *testing.T) {
	t.Parallel()
	in := start(t, "single", web+`
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched linger=50ms", restartDelayMs: 20}`)
	begun := time.Now()
	in.deploy("v0")
	lasts := time.Since(begun)
	const rounds = 20
	for i := range rounds {
		stopped := len(in.entries("signal", "sched"))
		deployed := in.beginDeploy(fmt.Sprintf("v%d", i+1))
		switch i % 2 {
		case 0: // while the one is stopped and the other not yet started
			in.awaitSignalOrEnd(stopped+1, deployed)
			time.Sleep(rand.N(80 * time.Millisecond))
		case 1: // at any moment
			time.Sleep(rand.N(lasts * 3 / 2))
		}
		in.killDaemon()
		<-deployed
		in.noOverlap()
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
	in.deploy("last")
	in.serves("last")
	p := in.awaitProcess("sched", "runs", func(p process) bool { return p.State == "running" })
	in.eventually("the newest in the diary is the one of the status", func() bool {
		starts := in.entries("start", "sched")
		newest := starts[len(starts)-1]
		return newest.process == "sched@last" && newest.pid == p.PID
	})
	if left := units(t, "rollbridge-single.sched*"); len(left) != 1 {
		t.Errorf("units %v", left)
	}
	in.noOverlap()
}

// awaitSignalOrEnd waits until the singleton has been told n times to end, or the
// deploy that does it is over.
func (in *instance) awaitSignalOrEnd(n int, deployed <-chan result) {
	in.t.Helper()
	in.eventually("the singleton is stopped", func() bool {
		return len(in.entries("signal", "sched")) >= n || len(deployed) > 0
	})
}

func TestTheDiaryTellsTwoAtOnce(t *testing.T) {
	t.Parallel()
	in := newInstance(t, "diary", web)
	for range 2 {
		cmd := exec.Command(self, "app", "worker", "once=sched")
		cmd.Env = []string{"ROLLBRIDGE_PROCESS_ID=sched", "ROLLBRIDGE_RELEASE_ID=v1", "ROLLBRIDGE_RELEASE_PATH=" + in.release("v1")}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
	}
	in.awaitEntries(1, "overlap", "sched")
}
