package emulated

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The limits lie between what the application has, some 10 MiB, and what it has
// with heldBytes more.
const (
	softLimit = 48 * mebibyte
	hardLimit = 128 * mebibyte
)

func TestMoreThanTheSoftLimitBringsAGracefulRestart(t *testing.T) {
	memory := fmt.Sprintf("memory: {limitBytes: %d, checkIntervalMs: 300}", softLimit)
	s := start(t, "soft", 8200, `
  - {id: web, policy: proxied, command: "exec $APP web", port: $PORTS, restartDelayMs: 100, restart: {maxRestarts: 5}, `+memory+`}
  - {id: worker, command: "exec $APP worker", restartDelayMs: 100, restart: {maxRestarts: 2}, `+memory+`}
  - {id: cached, command: "exec $APP cached", `+memory+`}
  - {id: free, command: "exec $APP worker", memory: {limitBytes: 1000000000, checkIntervalMs: 300}}`)
	s.deploy("v1")
	for _, id := range []string{"web", "worker"} {
		for n := 1; n <= 2; n++ {
			old := s.awaitRunning(id).PID
			s.signal(old, holdSignal)
			p := s.awaitNew(id, old)
			if p.MemoryRestarts != n || p.Restarts != 0 || p.LastStartReason != "memory" {
				t.Errorf("%s after %d restarts: %+v", id, n, p)
			}
			exceeded := s.awaitEvent(n, "memory limit exceeded", id)
			if used := exceeded["rssBytes"].(float64); used <= softLimit || used > heldBytes+40*mebibyte {
				t.Errorf("%s: %.0f bytes measured, above %d and up to %d and a little more are used", id, used, softLimit, heldBytes)
			}
			if exit := s.awaitEvent(n, "process exited", id); exit["code"] != float64(askedStatus) || exit["oomKilled"] != nil {
				t.Errorf("%s: %v", id, exit)
			}
		}
	}
	s.serves("v1")

	s.signal(s.process("worker").PID, holdSignal)
	last := s.await("worker", "gave up", func(p process) bool { return p.GaveUp })
	if last.State != "failed" || last.MemoryRestarts != 2 || last.OOMKilled || last.ExitCode == nil || *last.ExitCode != askedStatus {
		t.Errorf("%+v", last)
	}

	s.signal(s.process("free").PID, holdSignal)
	free := s.await("free", "is measured with what it holds", func(p process) bool { return p.RSSBytes >= heldBytes })
	if free.RSSBytes > heldBytes+40*mebibyte {
		t.Errorf("%+v", free)
	}

	cached := s.await("cached", "is measured with its page cache full", func(p process) bool {
		return p.RSSBytes > 0 && s.charged(s.unit("cached")) > heldBytes
	})
	if cached.RSSBytes >= softLimit || cached.MemoryRestarts != 0 {
		t.Errorf("the page cache is counted: %+v", cached)
	}
}

// process finds a process that there has to be.
func (s *shop) process(id string) process {
	s.t.Helper()
	p := s.status().find(id)
	if p.ID == "" {
		s.t.Fatalf("no process %s", id)
	}
	return p
}

// charged is what the kernel has counted for a unit.
func (s *shop) charged(unit string) int {
	s.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s.cgroupFile(unit, "memory.current")))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shop) cgroupFile(unit, name string) string {
	s.t.Helper()
	b, err := os.ReadFile("/sys/fs/cgroup" + s.property(unit, "ControlGroup") + "/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// kills is how many processes the kernel has killed for memory in an
// application, by its own count.
func (s *shop) kills() int {
	s.t.Helper()
	_, count, _ := strings.Cut(s.cgroupFile("rollbridge-"+s.name+".slice", "memory.events"), "oom_kill ")
	n, err := strconv.Atoi(strings.Fields(count)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestTheKernelKillsAtTheHardLimit(t *testing.T) {
	memory := fmt.Sprintf("memory: {limitBytes: %d, hardLimitBytes: %[1]d, checkIntervalMs: 3600000}", hardLimit)
	s := start(t, "hard", 8210, `
  - {id: web, policy: proxied, command: "exec $APP web", port: $PORTS, restartDelayMs: 100, `+memory+`}
  - {id: worker, command: "exec $APP worker", restartDelayMs: 10000, restart: {maxRestarts: 2}, `+memory+`}`)
	s.deploy("v1")
	for _, unit := range []string{s.unit("worker"), s.scope()} {
		if limit, policy := s.property(unit, "MemoryMax"), s.property(unit, "OOMPolicy"); limit != strconv.Itoa(hardLimit) || policy != "kill" {
			t.Errorf("%s: MemoryMax=%s OOMPolicy=%s", unit, limit, policy)
		}
	}

	t.Run("web", func(t *testing.T) { s.in(t).killedWeb(1, hogSignal, false) })
	t.Run("child of web", func(t *testing.T) { s.in(t).killedWeb(2, childSignal, false) })
	t.Run("worker", func(t *testing.T) {
		s.in(t).killed(1, "worker", hogSignal, false)
		waits := s.await("worker", "waits", func(p process) bool { return !p.RetryAt.IsZero() })
		if waits.State != "failed" || !waits.OOMKilled {
			t.Errorf("%+v", waits)
		}
		if result := s.property(s.unit("worker"), "Result"); result != "oom-kill" {
			t.Errorf("Result=%s", result)
		}
		if text := s.rollbridge("status", "--text"); !strings.Contains(text, "killed by the kernel for its memory") {
			t.Errorf("status does not say so:\n%s", text)
		}
		if p := s.awaitRunning("worker"); p.Restarts != 1 || p.LastStartReason != "crash" || p.OOMKilled {
			t.Errorf("%+v", p)
		}
	})
	t.Run("child of the worker, adopted", func(t *testing.T) {
		s.in(t).killDaemon()
		s.in(t).killed(2, "worker", childSignal, true)
		if p := s.awaitRunning("worker"); p.Restarts != 2 || p.LastStartReason != "crash" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("worker, once too often", func(t *testing.T) {
		s.in(t).killed(3, "worker", hogSignal, false)
		if p := s.await("worker", "gave up", func(p process) bool { return p.GaveUp }); !p.OOMKilled || p.Restarts != 2 {
			t.Errorf("%+v", p)
		}
	})
	t.Run("web, adopted", func(t *testing.T) {
		s.in(t).killDaemon()
		s.in(t).killedWeb(3, hogSignal, true)
	})
	t.Run("child of web, adopted", func(t *testing.T) {
		s.in(t).killDaemon()
		s.in(t).killedWeb(4, childSignal, true)
	})
	t.Run("somebody with SIGKILL is not the kernel", func(t *testing.T) {
		s := s.in(t)
		old := s.process("web").PID
		s.signal(old, syscall.SIGKILL)
		s.awaitNew("web", old)
		if exit := s.awaitEvent(5, "process exited", "web"); exit["signal"] != "SIGKILL" || exit["oomKilled"] != nil {
			t.Errorf("%v", exit)
		}
	})
}

// in is the same shop for a part of a test.
func (s *shop) in(t *testing.T) *shop { return &shop{t: t, name: s.name, port: s.port} }

// killed has a process use up its memory, with that signal, and waits for the
// n-th end of it. An adopted web process has no exit status on the kernels of
// Debian, and of a unit of which all are killed at once it may be lost.
func (s *shop) killed(n int, id string, by syscall.Signal, unseen bool) {
	s.t.Helper()
	before := s.kills()
	s.signal(s.awaitRunning(id).PID, by)
	exit := s.awaitEvent(n, "process exited", id)
	if exit["oomKilled"] != true || exit["code"] != nil || exit["signal"] != "SIGKILL" && !(unseen && exit["signal"] == nil) {
		s.t.Errorf("%s: %v", id, exit)
	}
	if after := s.kills(); after <= before {
		s.t.Errorf("%s: the kernel has killed %d processes before and %d after", id, before, after)
	}
}

func (s *shop) killedWeb(n int, by syscall.Signal, adopted bool) {
	s.t.Helper()
	old := s.awaitRunning("web").PID
	s.killed(n, "web", by, adopted)
	if p := s.awaitNew("web", old); p.Restarts != n || p.LastStartReason != "crash" {
		s.t.Errorf("%+v", p)
	}
	s.serves("v1")
}
