package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
)

// fakeCgroup is a directory with the files of a cgroup.
func fakeCgroup(t *testing.T, files map[string]string) cgroup {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return cgroup{dir}
}

func TestPageCacheIsNotUsedMemory(t *testing.T) {
	g := fakeCgroup(t, map[string]string{
		"cgroup.procs":   fmt.Sprintln(os.Getpid()),
		"memory.current": "1000000\n",
		"memory.stat":    "anon 250000\nfile 600000\nkernel 150000\nshmem 100000\nslab_reclaimable 50000\nfile_mapped 7\n",
	})
	bytes, children, err := g.Memory()
	if bytes != 450000 || err != nil || len(children) != 1 || children[0].PID != os.Getpid() || children[0].RSSBytes < 1<<20 {
		t.Errorf("%d, %v, %v", bytes, children, err)
	}
	small := fakeCgroup(t, map[string]string{"memory.current": "10\n", "memory.stat": "file 20\n"}) // read one after the other
	if bytes, _, err := small.Memory(); bytes != 0 || err != nil {
		t.Errorf("%d, %v", bytes, err)
	}
}

func TestWithoutControllerTheProcessesOfACgroupAreSummedUp(t *testing.T) {
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	for name, files := range map[string]map[string]string{
		"none":   {},
		"broken": {"memory.current": "much\n"},
		"half":   {"memory.current": "5\n", "memory.stat": "anon\n"},
	} {
		files["cgroup.procs"] = fmt.Sprintln(os.Getpid())
		files["below/cgroup.procs"] = fmt.Sprintf("%d\n0\n4194305\n", other.Process.Pid) // one elsewhere, one gone
		bytes, children, err := fakeCgroup(t, files).Memory()
		if err != nil || len(children) != 2 || bytes != children[0].RSSBytes+children[1].RSSBytes || bytes < 1<<20 {
			t.Errorf("%s: %d, %v, %v", name, bytes, children, err)
		}
		for _, c := range children {
			if c.PID == other.Process.Pid && c.Command != "sleep" {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

func TestOutOfMemoryKillsAreCounted(t *testing.T) {
	g := fakeCgroup(t, map[string]string{"memory.events": "low 0\nhigh 7\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"})
	if n, err := systemd.OOMKills(g.dir); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := systemd.OOMKills(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// Checks 172 and 174, with a descendant in a session of its own.
func TestADescendantThatHoldsTooMuchBringsARestart(t *testing.T) {
	const mebibyte = 1 << 20
	p := shell(t, `trap 'echo told; exit' TERM; if [ -e again ]; then TEST_HOG=1 `+os.Args[0]+` & else touch again; TEST_HOG=200 setsid `+os.Args[0]+` & fi; wait; wait`,
		func(s *config.Spec) {
			s.Restart = config.Restart{Max: 1, Factor: 1}
			s.Memory = &config.Memory{Limit: 150 * mebibyte, Warn: 1, CheckInterval: 20 * time.Millisecond}
		})
	p.start()
	first, _ := p.Watch()
	s := p.until("restarted", func(s Status) bool { return s.State == Running && s.MemoryRestarts == 1 })
	if s.Reason != Memory || s.Restarts != 0 || s.PID == first.PID || s.LastMemoryRestartAt.IsZero() {
		t.Errorf("%+v", s)
	}
	p.says("told")
	exceeded, ok := p.event("memory limit exceeded")
	if used, _ := exceeded.Data["rssBytes"].(int64); !ok || used <= 150*mebibyte || exceeded.Data["limitBytes"] != int64(150*mebibyte) {
		t.Errorf("%+v", exceeded.Data)
	}
	if _, ok := p.event("memory warning"); !ok {
		t.Errorf("%q", p.messages())
	}
	if left := p.Ref().PID; left != s.PID {
		t.Errorf("%d, want %d", left, s.PID)
	}
}
