package gate

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/restart"
)

// about makes a definition that was asked for.
func about(command string, change ...func(*Definition)) Definition {
	def := shell(command)
	def.Start = Token{1, "deploy"}
	for _, f := range change {
		f(&def)
	}
	return def
}

func policy(p config.Restart) func(*Definition) {
	return func(d *Definition) { d.Spec.Restart = p }
}

func TestTheGateBecomesTheCommand(t *testing.T) {
	h := newHost(t, about(`echo $$ $(cut -d' ' -f5,6 /proc/$$/stat); pwd; readlink /proc/$$/fd/0; echo to stderr >&2`))
	def := mustRead(t, h.gates, "a1")
	def.Spec.Dir = h.dir
	mustWrite(t, h.gates, def)
	p := h.start(h.program("run", "0"))
	if end, said := p.wait(); end != "exit 0" || said != "" {
		t.Fatalf("%s, %q", end, said)
	}
	if m := h.told(); m != "READY=1\nSTATUS=" {
		t.Errorf("told %q", m)
	}
	pid := p.Process.Pid
	streams := h.journal.awaitEnd(t, 2)
	want := []string{fmt.Sprintf("%d %d %d", pid, pid, pid), h.dir, "/dev/null"}
	if !slices.Equal(streams[0].lines, want) || !slices.Equal(streams[1].lines, []string{"to stderr"}) {
		t.Errorf("stdout %q, want %q; stderr %q", streams[0].lines, want, streams[1].lines)
	}
	for i, priority := range []string{"30", "27"} {
		want := []string{"shop.worker@v42", def.Unit, priority, "0", "0", "0", "0"}
		if !slices.Equal(streams[i].header, want) {
			t.Errorf("header %q", streams[i].header)
		}
	}
	r := h.last()
	if r.Kind != Started || r.PID != pid || r.StartTime == 0 || r.Unit != def.Unit || r.Invocation != "run7" ||
		r.Reason != "deploy" || r.Serial != 1 || r.Release != "v42" || r.Restarts != 0 {
		t.Errorf("%+v", r)
	}
}

func TestTheCommandHasItsEnvironmentAlone(t *testing.T) {
	h := newHost(t, about("exec env", func(d *Definition) {
		d.Daemon = []string{"PATH=/usr/bin:/bin", "A=daemon", "RAW=caf\xe9", "NOTIFY_SOCKET=daemon's", "LISTEN_FDS=3", "WATCHDOG_USEC=5", "JOURNAL_STREAM=8:9"}
		d.Spec.Env = []string{"A=own", `B=$HOME "%n" \ ;`}
	}))
	if end, said := h.gate("0"); end != "exit 0" {
		t.Fatal(end, said)
	}
	got := slices.DeleteFunc(h.output(), func(line string) bool { return strings.HasPrefix(line, "PWD=") || strings.HasPrefix(line, "_=") })
	slices.Sort(got)
	if want := []string{"A=own", `B=$HOME "%n" \ ;`, "PATH=/usr/bin:/bin", "RAW=caf\xe9"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestTheCommandStartsWithACleanSlate(t *testing.T) {
	h := newHost(t, about(`grep -E 'Sig(Blk|Ign)' /proc/self/status; ulimit -Sn; umask; exec ls /proc/self/fd`))
	cmd := h.program("run", "0")
	cmd.Args = []string{"sh", "-c", `trap "" HUP INT PIPE USR1 TERM 62; umask 027; ulimit -Sn 512; exec "$0" 5</dev/null`, cmd.Path}
	cmd.Path = "/bin/bash" // dash knows no realtime signals
	if end, said := h.start(cmd).wait(); end != "exit 0" {
		t.Fatal(end, said)
	}
	none := "0000000000000000"
	want := []string{"SigBlk:\t" + none, "SigIgn:\t" + none, "512", "0027", "0", "1", "2", "3"} // 3 is ls's own
	if got := h.output(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestBlockedSignalsReachTheCommand(t *testing.T) {
	h := newHost(t, about(`exec grep SigBlk /proc/self/status`))
	done := make(chan struct{})
	go func() { // its thread ends with it: it is locked and never unlocked
		defer close(done)
		runtime.LockOSThread()
		blocked := unix.Sigset_t{}
		blocked.Val[0] = 1<<(unix.SIGUSR1-1) | 1<<(unix.SIGTERM-1)
		unix.PthreadSigmask(unix.SIG_SETMASK, &blocked, nil)
		if end, said := h.gate("0"); end != "exit 0" {
			t.Error(end, said)
		}
	}()
	<-done
	if got := h.output(); !slices.Equal(got, []string{"SigBlk:\t0000000000000000"}) {
		t.Errorf("%q", got)
	}
}

func TestWithoutAJournalOutputStaysWhereItWas(t *testing.T) {
	h := newHost(t, about(`echo out; echo err >&2`))
	if err := os.Remove(filepath.Join(h.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	cmd := h.program("run", "0")
	var out strings.Builder
	cmd.Stdout = &out
	end, said := h.start(cmd).wait()
	if end != "exit 0" || out.String() != "out\n" || !strings.HasSuffix(said, "\nerr\n") || !strings.Contains(said, "open the journal: no such file or directory") {
		t.Errorf("%s, %q, %q", end, out.String(), said)
	}
}

func TestTheCommandRunsAsItsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root changes users")
	}
	h := newHost(t, about(`id -u; id -g; id -G; echo $HOME; grep -E 'Cap(Eff|Prm)' /proc/self/status`))
	def := mustRead(t, h.gates, "a1")
	def.Spec.User, def.Spec.Group, def.Spec.Dir = "nobody", "daemon", h.dir
	mustWrite(t, h.gates, def)
	if end, said := h.gate("0"); end != "exit 0" {
		t.Fatal(end, said)
	}
	none := "0000000000000000"
	if got := h.output(); !slices.Equal(got, []string{"65534", "1", "1", "/nonexistent", "CapPrm:\t" + none, "CapEff:\t" + none}) {
		t.Errorf("%q", got)
	}
	if h.last().Kind != Started {
		t.Errorf("%s", h.happened())
	}
}

func TestAStartThatCannotWorkIsRecordedAndRetried(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(*config.Spec)
	}{
		{"working directory /nowhere/v42 does not exist", func(s *config.Spec) { s.Dir = "/nowhere/v42" }},
		{"working directory /etc/passwd is not a directory", func(s *config.Spec) { s.Dir = "/etc/passwd" }},
		{"user nobody-at-all does not exist", func(s *config.Spec) { s.User = "nobody-at-all" }},
		{"command and environment are too long", func(s *config.Spec) { s.Command = strings.Repeat("x", 1<<17) }},
		{"command and environment are too long", func(s *config.Spec) { s.Env = manyVariables() }},
		{"command, environment or directory contains a zero byte", func(s *config.Spec) { s.Env = []string{"A=\x00"} }},
	} {
		h := newHost(t, about("true", policy(config.Restart{Max: 5, Factor: 1}), func(d *Definition) { test.change(&d.Spec) }))
		for i := range 2 {
			end, said := h.gate(fmt.Sprint(i))
			if want := "start shop.worker@v42: " + test.want + "\n"; end != "exit 1" || said != want {
				t.Fatalf("%s, %q, want %q", end, said, want)
			}
			h.note(end) // adds nothing: no command has ended
			if r := h.last(); r.Kind != Failed || r.Error != test.want || r.Restarts != i || r.PID != 0 {
				t.Errorf("%+v", r)
			}
		}
		if got := h.happened(); got != "failed, failed" {
			t.Errorf("%s", got)
		}
		select {
		case m := <-h.messages:
			t.Errorf("told %q", m)
		default:
		}
	}
}

// manyVariables are too many, though none is too long.
func manyVariables() (env []string) {
	for i := range 1 << 7 {
		env = append(env, fmt.Sprintf("A%d=%s", i, strings.Repeat("x", 1<<16)))
	}
	return env
}

func TestADirectoryThatTheUserMayNotEnterIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root changes users")
	}
	h := newHost(t, about("true"))
	def := mustRead(t, h.gates, "a1")
	def.Spec.User, def.Spec.Dir = "nobody", filepath.Join(h.dir, "private")
	mustWrite(t, h.gates, def)
	if err := os.Mkdir(def.Spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h.gate("0")
	if r := h.last(); r.Kind != Failed || r.Error != "working directory "+def.Spec.Dir+" may not be entered by nobody" {
		t.Errorf("%+v", r)
	}
}

func TestAnExecutionThatFailsIsTheLastRecord(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root changes users")
	}
	h := newHost(t, about("true", func(d *Definition) { d.Spec.User = "1234567"; d.Spec.Group = "1234567" }))
	other := exec.Command("sleep", "100") // uses up what that user may have
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234567, Gid: 1234567}}
	h.start(other)
	cmd := h.program("run", "0")
	cmd.Args = []string{"sh", "-c", `ulimit -u 0; exec "$0"`, cmd.Path}
	cmd.Path = "/bin/bash"
	end, _ := h.start(cmd).wait()
	if r := h.last(); end != "exit 1" || r.Kind != Failed || r.Error != "start /bin/sh: the limit of processes of 1234567 is reached" || r.PID != 0 {
		t.Errorf("%s %+v", end, r)
	}
	if got := h.happened(); got != "started, failed" {
		t.Error(got)
	}
}

func TestNoHopeIsNoLoop(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"missing": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 20) },
	} {
		h := newHost(t, about("true"))
		if err := spoil(filepath.Join(string(h.gates), "a1.json")); err != nil {
			t.Fatal(err)
		}
		end, said := h.gate("0")
		if end != "signal 62" || !strings.HasPrefix(said, "rollbridge: definition "+string(h.gates)+"/a1.json: ") || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: %s, %q", name, end, said)
		}
	}
}

// run is one run of a command: how long it lives, and how it ends.
type run struct {
	lives time.Duration
	end   string
}

// unit is a unit with Restart=always and no delay, as systemd runs it; it
// returns the moments the command was executed, and the moments Ended was told.
func (h *host) unit(runs []run) (begins, ends []time.Duration, result string) {
	h.Helper()
	for n := 0; ; n++ {
		if n < len(runs) {
			def := mustRead(h.T, h.gates, "a1")
			action := "exit " + strings.TrimPrefix(runs[n].end, "exit ")
			if signal, ok := strings.CutPrefix(runs[n].end, "signal "); ok {
				action = "kill -" + signal + " $$"
			}
			def.Spec.Command = fmt.Sprintf("sleep %.3f; %s", runs[n].lives.Seconds(), action)
			mustWrite(h.T, h.gates, def)
		}
		p := h.start(h.program("run", fmt.Sprint(n)))
		end, said := p.wait()
		if end == "signal 62" && h.last().Kind == GaveUp {
			return begins, ends, strings.TrimSpace(said)
		}
		if n >= len(runs) {
			h.Fatalf("started after the end of the script: %s", h.happened())
		}
		if end != runs[n].end {
			h.Fatalf("run %d ends with %s, not %s: %s", n, end, runs[n].end, said)
		}
		h.note(end)
		records := h.records()
		began, exited := records[len(records)-2], records[len(records)-1]
		if began.Kind != Started || exited.Kind != Exited {
			h.Fatalf("%s", h.happened())
		}
		begins, ends = append(begins, began.Boot), append(ends, exited.Boot)
	}
}

// One script of exits goes through the policy alone and through gates. Gaps are
// never shorter than the policy's. How much longer they may be is checked on a
// real systemd; here the machine may be busy with other tests.
func TestGapsAreThoseOfThePolicy(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy config.Restart
		runs   []run
	}{
		{"backoff with a cap", config.Restart{Delay: 100 * ms, Max: 5, Factor: 2, MaxDelay: time.Second},
			[]run{{0, "exit 0"}, {0, "exit 62"}, {0, "signal 9"}, {0, "exit 203"}, {0, "signal 62"}, {0, "exit 255"}}},
		{"a window that slides", config.Restart{Delay: 150 * ms, Max: 2, Factor: 1, Window: 1500 * ms},
			[]run{{1200 * ms, "exit 1"}, {1200 * ms, "exit 1"}, {1600 * ms, "exit 1"}, {0, "exit 1"}, {0, "exit 1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, about("", policy(test.policy)))
			def := about("true", policy(test.policy))
			mustWrite(t, h.gates, def)
			begins, ends, result := h.unit(test.runs)
			if !strings.Contains(result, "shop.worker@v42 has used up its") || h.last().Restarts != len(test.runs)-1 {
				t.Errorf("%q, %+v", result, h.last())
			}
			var history restart.History
			for i, end := range ends {
				var d restart.Decision
				d, history = restart.Decide(test.policy, history, end, end-begins[i])
				if d.GiveUp != (i == len(ends)-1) {
					t.Fatalf("the policy gives up %v after run %d", d.GiveUp, i)
				}
				if d.GiveUp {
					break
				}
				if gap := begins[i+1] - end; gap < d.Delay || gap > d.Delay+2*time.Second {
					t.Errorf("gap %s after run %d, want %s", gap, i, d.Delay)
				}
			}
		})
	}
}

func TestAStartByHandHasAFreshBudget(t *testing.T) {
	h := newHost(t, about("exit 3", policy(config.Restart{Max: 2, Factor: 1})))
	for n := range 3 {
		end, _ := h.gate(fmt.Sprint(n))
		h.note(end)
	}
	if end, _ := h.gate("3"); end != "signal 62" {
		t.Fatal(end)
	}
	h.note("signal 62") // after a gate that gave up there is nothing to note
	if end, _ := h.gate("0"); end != "exit 3" {
		t.Fatal(end)
	}
	if r := h.last(); r.Kind != Started || r.Reason != "manual" || len(r.History.Restarts) != 0 || r.Restarts != 2 {
		t.Errorf("%+v", r)
	}
	if unit, _ := os.ReadFile(filepath.Join(h.dir, "forgotten")); string(unit) != shell("").Unit {
		t.Errorf("the manager was to forget the starts of %q", unit)
	}
	if got := h.happened(); got != "started, exited, started, exited, started, exited, gave up, started" {
		t.Error(got)
	}
}

func TestAMemoryRestartWaitsAndCounts(t *testing.T) {
	h := newHost(t, about("true", policy(config.Restart{Delay: 200 * ms, Max: 1, Factor: 1})))
	for n := range 3 {
		def := mustRead(t, h.gates, "a1")
		if n > 0 {
			def.Start = Token{1 + n, "memory"}
		}
		mustWrite(t, h.gates, def)
		end, _ := h.gate("0")
		if last := h.last(); n == 1 && (last.Reason != "memory" || last.MemoryRestarts != 1 || last.Restarts != 0 || last.Serial != 2) {
			t.Errorf("%+v", last)
		}
		h.note(end)
	}
	if got := h.happened(); got != "started, exited, waiting, started, exited, gave up" {
		t.Error(got)
	}
	records := h.records()
	if gap := records[3].Boot - records[1].Boot; gap < 200*ms {
		t.Errorf("gap %s", gap)
	}
}

func TestASilentManagerIsNotAwaitedForEver(t *testing.T) {
	h := newHost(t, about("exit 3", policy(config.Restart{Max: 5, Factor: 1})))
	end, _ := h.gate("0")
	h.note(end)
	began := time.Now()
	end, said := h.gate("")
	if r := h.last(); end != "exit 3" || r.Reason != "crash" || r.Restarts != 1 {
		t.Errorf("%s %+v", end, r)
	}
	if took := time.Since(began); took < managerTimeout || !strings.Contains(said, "taken for an automatic restart") {
		t.Errorf("%s, %q", took, said)
	}
}

func TestAnEndThatNobodyNotedIsSeenByTheNextGate(t *testing.T) {
	h := newHost(t, about("kill -9 $$", policy(config.Restart{Max: 5, Factor: 1})))
	h.gate("0")
	h.gate("1")
	records := h.records()
	if got := h.happened(); got != "started, exited, started" || !records[1].Unseen || records[1].PID != records[0].PID {
		t.Errorf("%s %+v", got, records)
	}
}

func TestWhatIsNotWantedIsNotStartedAgain(t *testing.T) {
	for _, want := range []Want{Drain, Stop} {
		h := newHost(t, about("true"))
		end, _ := h.gate("0")
		h.note(end)
		def := mustRead(t, h.gates, "a1")
		def.Want = want
		def.Spec.Release = "v43"
		mustWrite(t, h.gates, def)
		end, said := h.gate("")
		if r := h.last(); end != "signal 62" || r.Kind != Ended || r.Serial != 1 || r.Release != "v42" || !strings.Contains(said, "is not started again") {
			t.Errorf("%s, %q, %+v", end, said, r)
		}
	}
}

// slow is a gate that waits for so long that something can happen meanwhile.
func slow(t *testing.T, delay time.Duration, change ...func(*Definition)) (*host, *process) {
	t.Helper()
	h := newHost(t, about("echo one", append(change, policy(config.Restart{Delay: delay, Max: 5, Factor: 1}))...))
	end, _ := h.gate("0")
	h.note(end)
	h.awaitReady()
	return h, h.start(h.program("run", "1"))
}

func TestAWaitIsToldAndEndsAtOnce(t *testing.T) {
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGUSR2, unix.SIGQUIT, unix.SIGWINCH, 40} {
		h, p := slow(t, time.Hour, func(d *Definition) { d.Spec.Stop.Signal = signal })
		if m := h.told(); !strings.HasPrefix(m, "STATUS=restart 1 of 5 in 3") {
			t.Errorf("told %q", m)
		}
		if r := h.last(); r.Kind != Waiting || r.Until.Sub(r.At) < 59*time.Minute || r.Restarts != 0 || r.Code != 0 || r.PID == 0 {
			t.Errorf("%+v", r)
		}
		asked := time.Now()
		p.Process.Signal(signal)
		if end, said := p.wait(); end != "exit 0" || said != "" || time.Since(asked) > time.Second {
			t.Errorf("%s after %s, %q", end, time.Since(asked), said)
		}
		h.note("exit 0")
		if got := h.happened(); got != "started, exited, waiting" {
			t.Error(got)
		}
	}
}

func TestTheNewestDefinitionCountsAfterAWait(t *testing.T) {
	h, p := slow(t, 500*ms)
	h.told()
	def := mustRead(t, h.gates, "a1")
	def.Spec.Release, def.Spec.Command, def.Start = "v43", "echo two", Token{2, "manual"}
	mustWrite(t, h.gates, def)
	if end, said := p.wait(); end != "exit 0" {
		t.Fatal(end, said)
	}
	streams := h.journal.awaitEnd(t, 4)
	if got := streams[2]; got.header[0] != "shop.worker@v43" || !slices.Equal(got.lines, []string{"two"}) {
		t.Errorf("%+v", got)
	}
	if r := h.last(); r.Release != "v43" || r.Reason != "crash" || r.Serial != 1 { // the token is for the next start
		t.Errorf("%+v", r)
	}
}

func TestAProcessThatRetiresDuringAWaitIsNotStarted(t *testing.T) {
	h, p := slow(t, 300*ms)
	h.told()
	def := mustRead(t, h.gates, "a1")
	def.Want = Drain
	mustWrite(t, h.gates, def)
	if end, _ := p.wait(); end != "signal 62" || h.happened() != "started, exited, waiting, ended" {
		t.Error(end, h.happened())
	}
}

// A stop may come at any moment of a gate: it ends it, or reaches the command.
func TestNoStopIsLostOnTheWay(t *testing.T) {
	h := newHost(t, about("exec sleep 100", func(d *Definition) { d.Spec.Stop.Signal = unix.SIGUSR2 }))
	for i := range 60 {
		p := h.start(h.program("run", "0"))
		time.Sleep(time.Duration(i) * ms / 2) // another moment each time
		p.Process.Signal(unix.SIGTERM)
		p.wait()
	}
}

func TestTheShimGoesWhenItIsTold(t *testing.T) {
	h := newHost(t, about("echo $$", func(d *Definition) { d.Unit = "rollbridge-shop.web.v42.1.scope" }))
	p, word, trouble := h.shim()
	select {
	case <-p.ended:
		t.Fatal("did not wait")
	case <-time.After(200 * time.Millisecond):
	}
	word.Write([]byte{0})
	if text := readAll(t, trouble); text != "" {
		t.Errorf("trouble: %s", text)
	}
	if end, said := p.wait(); end != "exit 0" || said != "" {
		t.Error(end, said)
	}
	streams := h.journal.awaitEnd(t, 2)
	if streams[0].header[1] != "rollbridge-shop.web.v42.1.scope" || !slices.Equal(streams[0].lines, []string{fmt.Sprint(p.Process.Pid)}) {
		t.Errorf("%+v", streams[0])
	}
	if got := h.happened(); got != "" {
		t.Error(got)
	}
}

func TestTheShimEndsWithItsDaemon(t *testing.T) {
	h := newHost(t, about("true"))
	p, word, trouble := h.shim()
	word.Close()
	want := "the daemon has gone before its child was in place"
	if end, said := p.wait(); end != "exit 1" || said != want+"\n" {
		t.Errorf("%s, %q", end, said)
	}
	if text := readAll(t, trouble); text != want {
		t.Errorf("trouble %q", text)
	}
}

func TestTheShimTellsItsDaemonWhatIsWrong(t *testing.T) {
	h := newHost(t, about("true", func(d *Definition) { d.Spec.Dir = "/nowhere" }))
	p, word, trouble := h.shim()
	word.Write([]byte{0})
	if text := readAll(t, trouble); text != "working directory /nowhere does not exist" {
		t.Errorf("trouble %q", text)
	}
	if end, _ := p.wait(); end != "exit 1" {
		t.Error(end)
	}
}

func TestTheShimNeedsNoErrorPipe(t *testing.T) {
	h := newHost(t, about("exit 7"))
	cmd := h.program("shim", "")
	read, write, _ := os.Pipe()
	cmd.ExtraFiles = []*os.File{read}
	p := h.start(cmd)
	write.Write([]byte{0})
	if end, said := p.wait(); end != "exit 7" {
		t.Error(end, said)
	}
}

// shim starts a shim, with the pipe that makes it go and the one that tells what
// is wrong.
func (h *host) shim() (p *process, word, trouble *os.File) {
	h.Helper()
	cmd := h.program("shim", "")
	goRead, goWrite, err := os.Pipe()
	if err != nil {
		h.Fatal(err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		h.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{goRead, errWrite}
	p = h.start(cmd)
	goRead.Close()
	errWrite.Close()
	h.Cleanup(func() { goWrite.Close(); errRead.Close() })
	return p, goWrite, errRead
}

func readAll(t *testing.T, f *os.File) string {
	t.Helper()
	f.SetReadDeadline(time.Now().Add(20 * time.Second))
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
