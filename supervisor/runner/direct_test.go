package runner

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/socket/sockettest"
	"rollbridge/supervisor/config"
)

// patience is for what must happen, on a loaded machine.
const patience = 30 * time.Second

// proc is a real process with what was observed of it.
type proc struct {
	*task
	t      *testing.T
	mu     sync.Mutex
	events []Event
	heard  chan struct{}
}

// shell makes a process of a command that is not restarted; change adapts it.
// It is stopped at the end of the test.
func shell(t *testing.T, command string, change ...func(*config.Spec)) *proc {
	t.Helper()
	d, err := NewDirect()
	if err != nil {
		t.Fatal(err)
	}
	spec := config.Spec{
		Process: "w", Instance: "w", Command: command, Dir: t.TempDir(), OutputLines: 50,
		Stop:    config.Stop{Signal: syscall.SIGTERM, Grace: patience},
		Restart: config.Restart{Max: 0, Factor: 1},
	}
	for _, c := range change {
		c(&spec)
	}
	p := &proc{t: t, heard: make(chan struct{}, 1)}
	p.task = d.New(spec, p.observe).(*task)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Stop(ctx); err != nil {
			t.Errorf("clean up: %v", err)
		}
		d.Close()
	})
	return p
}

func (p *proc) observe(e Event) {
	p.mu.Lock()
	p.events = append(p.events, e)
	p.mu.Unlock()
	select {
	case p.heard <- struct{}{}:
	default:
	}
}

func (p *proc) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, e := range p.events {
		all = append(all, e.Message)
	}
	return all
}

// event is the newest one with the message.
func (p *proc) event(message string) (Event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range slices.Backward(p.events) {
		if e.Message == message {
			return e, true
		}
	}
	return Event{}, false
}

func (p *proc) start() {
	p.t.Helper()
	if err := p.Start(p.t.Context(), Deploy); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proc) stop() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a status.
func (p *proc) until(what string, ok func(Status) bool) Status {
	p.t.Helper()
	end := time.After(patience)
	for {
		s, changed := p.Watch()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-end:
			p.t.Fatalf("not %s: %+v, events %v", what, s, p.messages())
		}
	}
}

// says waits for a line of output that begins so, and returns the rest of it.
func (p *proc) says(begin string) string {
	p.t.Helper()
	end := time.After(patience)
	for {
		out := p.kept()
		for _, line := range out.lines {
			if rest, ok := strings.CutPrefix(line.Text, begin); ok {
				return strings.TrimSpace(rest)
			}
		}
		select {
		case <-out.changed:
		case <-end:
			p.t.Fatalf("no line %q in %v", begin, p.lines())
		}
	}
}

func (p *proc) kept() stretch { return p.output.(*ring).since(0) }

func (p *proc) saysPid(begin string) int {
	p.t.Helper()
	pid, err := strconv.Atoi(p.says(begin))
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

func (p *proc) lines() []string {
	var texts []string
	for _, line := range p.kept().lines {
		texts = append(texts, line.Text)
	}
	return texts
}

func failed(s Status) bool { return s.State == Failed }

func alive(pid int) bool {
	s, err := readStat(pid)
	return err == nil && !s.zombie
}

func grace(d time.Duration) func(*config.Spec) {
	return func(s *config.Spec) { s.Stop.Grace = d }
}

func restarts(delay time.Duration) func(*config.Spec) {
	return func(s *config.Spec) { s.Restart = config.Restart{Max: config.Unlimited, Factor: 1, Delay: delay} }
}

func TestCommandLeadsItsSessionWithStdinAtItsEnd(t *testing.T) {
	p := shell(t, `read -r stat </proc/self/stat; echo "in $(cat | wc -c)"; echo "stat $(cat /proc/$$/stat)"; exec sleep 1000`)
	p.start()
	pid := p.until("running", func(s Status) bool { return s.PID != 0 }).PID
	s, err := parseStat([]byte(p.says("stat ")))
	if err != nil {
		t.Fatal(err)
	}
	if s.pid != pid || s.group != pid || s.session != pid {
		t.Errorf("pid %d, group %d, session %d; status says %d", s.pid, s.group, s.session, pid)
	}
	if n := p.says("in "); n != "0" {
		t.Errorf("%s bytes on stdin", n)
	}
	if ref := p.Ref(); ref.PID != pid || ref.StartTime != s.started || ref.BootID == "" {
		t.Errorf("Ref %+v", ref)
	}
	p.stop()
	if s, _ := p.Watch(); s.State != Stopped || s.PID != 0 || s.Exit == nil || s.Exit.Signal != syscall.SIGTERM {
		t.Errorf("after the stop: %+v", s)
	}
	if ref := p.Ref(); ref != (Ref{}) {
		t.Errorf("Ref of nothing: %+v", ref)
	}
}

func TestEveryExitStatusIsToldAndRestarted(t *testing.T) {
	count := filepath.Join(t.TempDir(), "n")
	p := shell(t, `n=$(cat `+count+` 2>/dev/null || echo 0); echo $((n+1)) >`+count+`; [ $n -lt 256 ] && exit $n; exec sleep 1000`, restarts(0))
	p.start()
	p.until("restarted 256 times", func(s Status) bool { return s.Restarts == 256 && s.PID != 0 })
	p.stop()
	var codes []int
	for _, e := range p.events {
		if code, ok := e.Data["code"].(int); ok && e.Message == "process exited" {
			codes = append(codes, code)
		}
	}
	for n := range 256 {
		if codes[n] != n {
			t.Fatalf("exit %d told as %d", n, codes[n])
		}
	}
}

func TestDeathBySignalIsTold(t *testing.T) {
	p := shell(t, `kill -9 $$`)
	p.start()
	s := p.until("failed", failed)
	if s.Exit == nil || s.Exit.Signal != syscall.SIGKILL || s.PID != 0 {
		t.Errorf("%+v", s)
	}
	p.stop()
	e, _ := p.event("process exited")
	if e.Data["code"] != nil || e.Data["signal"] != "SIGKILL" || e.Data["id"] != "w" {
		t.Errorf("%v", e.Data)
	}
}

func TestStopSignalReachesTheWholeGroup(t *testing.T) {
	p := shell(t, `(trap 'echo got USR1; exit' USR1; echo child; while :; do sleep 0.05; done) & trap 'wait; exit' USR1; echo ready; wait`,
		func(s *config.Spec) { s.Stop.Signal = syscall.SIGUSR1 })
	p.start()
	p.says("child")
	p.says("ready")
	p.stop()
	p.says("got USR1")
	if _, killed := p.event("process stop timed out; sending SIGKILL"); killed {
		t.Error("killed")
	}
}

func TestStopAwaitsTheGroupAndTellsTheExitBefore(t *testing.T) {
	p := shell(t, `(trap '' TERM; echo "child $(exec sh -c 'echo $PPID')"; sleep 0.6; echo child done) & exec sleep 1000`)
	p.start()
	p.says("child ")
	go p.Stop(context.Background())
	p.until("told of the exit", func(s Status) bool { return s.Exit != nil })
	if s, _ := p.Watch(); s.State != Stopping {
		t.Errorf("%s while the child lives", s.State)
	}
	p.until("stopped", func(s Status) bool { return s.State == Stopped })
	p.says("child done")
}

func TestWhatIgnoresTheSignalIsKilled(t *testing.T) {
	p := shell(t, `trap '' TERM; echo ready; while :; do sleep 0.05; done`, grace(300*time.Millisecond))
	p.start()
	p.says("ready")
	began := time.Now()
	p.stop()
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("killed after %s", took)
	}
	if s, _ := p.Watch(); s.Exit.Signal != syscall.SIGKILL {
		t.Errorf("%v", s.Exit)
	}
	if e, ok := p.event("process stop timed out; sending SIGKILL"); !ok || e.Data["pid"] == 0 {
		t.Errorf("%v", p.messages())
	}
}

// daemonize starts COMMAND as a daemon does: two forks, a session of its own,
// no environment, no inherited descriptors.
func daemonize(command string) string {
	return `setsid sh -c 'env -i sh -c "` + command + `" </dev/null >/dev/null 2>&1 &'`
}

func TestDaemonsAreStoppedWithTheirProcess(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, daemonize(`echo \$\$ >`+dir+`/pid.new; mv `+dir+`/pid.new `+dir+`/pid; exec /bin/sleep 1000`)+
		`; while ! [ -s `+dir+`/pid ]; do sleep 0.02; done; echo "daemon $(cat `+dir+`/pid)"; exec sleep 1000`)
	p.start()
	pid := p.saysPid("daemon ")
	if s, err := readStat(pid); err != nil || s.parent != os.Getpid() || s.session == p.Ref().PID {
		t.Fatalf("not a daemon: %+v %v", s, err)
	}
	p.stop()
	if alive(pid) {
		t.Error("the daemon lives on")
	}
}

func TestDaemonsOfOneProcessSurviveTheStopOfAnother(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, daemonize(`echo \$\$ >`+dir+`/pid.new; mv `+dir+`/pid.new `+dir+`/pid; exec /bin/sleep 1000`)+
		`; while ! [ -s `+dir+`/pid ]; do sleep 0.02; done; echo "daemon $(cat `+dir+`/pid)"; exec sleep 1000`)
	p.start()
	pid := p.saysPid("daemon ")
	other := shell(t, `exec sleep 1000`)
	other.start()
	other.stop()
	if !alive(pid) {
		t.Error("stopped with a stranger")
	}
}

func TestLeftoversAreEndedBeforeARestart(t *testing.T) {
	dir := t.TempDir()
	p := shell(t, `for f in `+dir+`/*; do [ -e $f ] && kill -0 ${f##*/} 2>/dev/null && echo "old ${f##*/}"; done
		sleep 1000 & >`+dir+`/$!; echo "run"; exit 1`, restarts(0))
	p.start()
	p.until("restarted", func(s Status) bool { return s.Restarts >= 5 })
	p.stop()
	if slices.ContainsFunc(p.lines(), func(l string) bool { return strings.HasPrefix(l, "old") }) {
		t.Errorf("lived through a restart: %v", p.lines())
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if pid, _ := strconv.Atoi(e.Name()); alive(pid) {
			t.Errorf("%d left", pid)
		}
	}
}

func TestStopEndsWhatADeadShellLeft(t *testing.T) {
	p := shell(t, `(trap '' TERM; echo "child $(exec sh -c 'echo $PPID')"; while :; do sleep 0.05; done) & while :; do sleep 0.02; done`,
		func(s *config.Spec) { s.Stop.Lifecycle.Quiet = "echo no hook here >hook" })
	p.start()
	child := p.saysPid("child ")
	unix.Kill(p.Ref().PID, unix.SIGKILL)
	p.until("failed", failed)
	if !alive(child) {
		t.Fatal("the child is gone before anyone killed it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if alive(child) {
		t.Error("the child lives on")
	}
	if _, err := os.Stat(filepath.Join(p.Spec().Dir, "hook")); err == nil {
		t.Error("a hook ran for a dead shell")
	}
}

func TestForkingMembersDoNotEscapeSIGKILL(t *testing.T) {
	p := shell(t, `trap '' TERM; echo ready; while :; do (setsid sleep 1000 &) ; (sleep 1000 &); sleep 0.01; done`, grace(200*time.Millisecond))
	p.start()
	p.says("ready")
	p.stop()
	if orphans := children.orphans(); slices.ContainsFunc(orphans, func(s stat) bool { return !s.zombie && hasTag(s.pid, tagOf(t, p)) }) {
		t.Errorf("escaped: %v", orphans)
	}
}

// tagOf is the mark of a process's children.
func tagOf(t *testing.T, p *proc) uint64 {
	t.Helper()
	p.start()
	var limit unix.Rlimit
	if err := unix.Prlimit(p.Ref().PID, unix.RLIMIT_LOCKS, nil, &limit); err != nil {
		t.Fatal(err)
	}
	return limit.Cur
}

func TestHooksRunInOrderAsTheProcess(t *testing.T) {
	p := shell(t, `trap 'echo signal >>order; exit' TERM; echo ready; while :; do sleep 0.02; done`, func(s *config.Spec) {
		s.Env = []string{"COLOUR=blue"}
		s.Stop.Lifecycle = config.Lifecycle{
			Quiet:        `echo "quiet $ROLLBRIDGE_PID $COLOUR" >>order; read -r s </proc/self/stat; exit 4`,
			Drain:        `echo drain >>order; kill -USR1 $$`,
			DrainTimeout: patience,
		}
	})
	p.start()
	p.says("ready")
	pid := p.Ref().PID
	p.stop()
	order, _ := os.ReadFile(filepath.Join(p.Spec().Dir, "order"))
	if want := fmt.Sprintf("quiet %d blue\ndrain\nsignal\n", pid); string(order) != want {
		t.Errorf("got %q, want %q", order, want)
	}
	if e, _ := p.event("quiet command exited non-zero"); e.Data["code"] != 4 {
		t.Errorf("%v", e.Data)
	}
	if e, _ := p.event("drain command exited on signal"); e.Data["signal"] != "SIGUSR1" {
		t.Errorf("%v", e.Data)
	}
}

func TestHookThatHangsIsKilledWithItsGroup(t *testing.T) {
	p := shell(t, `exec sleep 1000`, grace(200*time.Millisecond), func(s *config.Spec) {
		s.Stop.Lifecycle.Quiet = `sleep 1000 & echo $! >hang; sleep 1000`
	})
	p.start()
	p.stop()
	if e, _ := p.event("quiet command timed out"); e.Data["timeoutMs"] != int64(200) {
		t.Errorf("%v %v", e.Data, p.messages())
	}
}

func TestStopCommandReplacesTheSignal(t *testing.T) {
	p := shell(t, `trap 'echo TERM' TERM; trap 'exit 7' USR1; echo ready; while :; do sleep 0.02; done`, func(s *config.Spec) {
		s.Stop.Lifecycle.Stop = `kill -USR1 $ROLLBRIDGE_PID`
	})
	p.start()
	p.says("ready")
	p.stop()
	if s, _ := p.Watch(); s.Exit.Code != 7 || slices.Contains(p.lines(), "TERM") {
		t.Errorf("%v %v", s.Exit, p.lines())
	}
}

func TestOutputIsCompleteWhenTheExitIsTold(t *testing.T) {
	p := shell(t, `echo oops >&2; i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; printf 'last words'; exit 3`,
		func(s *config.Spec) { s.OutputLines = 5000 })
	p.start()
	p.until("failed", failed)
	lines := p.lines()
	if len(lines) != 2002 || !slices.Contains(lines, "last words") || !slices.Contains(lines, "oops") {
		t.Errorf("%d lines, the last of them %q", len(lines), lines[max(0, len(lines)-3):])
	}
}

func TestExitDoesNotWaitForInheritedPipes(t *testing.T) {
	p := shell(t, `(trap '' TERM; while :; do sleep 0.05; done) & echo bye; exit 3`)
	p.start()
	if s := p.until("failed", failed); s.Exit.Code != 3 {
		t.Errorf("%v", s.Exit)
	}
	if !slices.Contains(p.lines(), "bye") {
		t.Errorf("%v", p.lines())
	}
}

func TestFloodOfOutputHurtsNobody(t *testing.T) {
	flood := shell(t, `yes "$(head -c 3000 /dev/zero | tr '\0' x)"`)
	flood.start()
	for out := flood.kept(); out.next < 1000; out = flood.kept() {
		<-out.changed
	}
	quiet := shell(t, `echo hello; exec sleep 1000`)
	quiet.start()
	quiet.says("hello")
	quiet.stop()
	flood.stop()
	if n := len(flood.lines()); n != 50 {
		t.Errorf("%d lines", n)
	}
}

func TestFiftyCrashingProcessesAreAllRestarted(t *testing.T) {
	var all []*proc
	for range 50 {
		p := shell(t, `echo crash; sleep 0.1 & exit 1`, restarts(20*time.Millisecond))
		all = append(all, p)
		p.start()
	}
	for _, p := range all {
		p.until("restarted 3 times", func(s Status) bool { return s.Restarts >= 3 })
	}
	for _, p := range all {
		p.stop()
	}
}

func TestOtherChildrenKeepTheirExitStatus(t *testing.T) {
	p := shell(t, `while :; do (setsid sleep 0.01 &); sleep 0.01; done`)
	p.start()
	for range 50 {
		err := exec.Command("/bin/sh", "-c", "exit 5").Run()
		if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 5 {
			t.Fatalf("lost the exit status: %v", err)
		}
	}
	p.stop()
}

func TestUserAndGroupAreApplied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	p := shell(t, `echo "uid $(id -u)"; echo "gid $(id -g)"; echo "groups $(id -G)"; echo "hooked $(cat hook 2>/dev/null)"; exec sleep 1000`, func(s *config.Spec) {
		s.User, s.Dir = "65534", "/"
		s.Stop.Lifecycle.Quiet = `kill -0 1 && exit 9; exit $(($(id -u) == 65534 ? 8 : 7))`
	})
	p.start()
	if uid, gid, groups := p.says("uid "), p.says("gid "), p.says("groups "); uid != "65534" || gid != "65534" || groups != "65534" {
		t.Errorf("uid %s gid %s groups %s", uid, gid, groups)
	}
	p.stop()
	if e, _ := p.event("quiet command exited non-zero"); e.Data["code"] != 8 {
		t.Errorf("hook: %v", e.Data)
	}
}

func TestStartSaysInWordsWhatIsMissing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*config.Spec)
		want   string
	}{
		{"missing directory", func(s *config.Spec) { s.Dir = "/nowhere/x" }, "working directory /nowhere/x does not exist"},
		{"a file", func(s *config.Spec) { s.Dir = file }, "working directory " + file + " is not a directory"},
		{"closed directory", func(s *config.Spec) { s.Dir, s.User = closed, "65534" }, "working directory " + closed + " may not be entered by 65534"},
		{"unknown user", func(s *config.Spec) { s.User = "nosuchuser" }, "user nosuchuser does not exist"},
		{"unknown group", func(s *config.Spec) { s.Group = "nosuchgroup" }, "group nosuchgroup does not exist"},
		{"user without group", func(s *config.Spec) { s.User = "43210" }, "user 43210 has no entry, so its group is not known: set group"},
		{"zero byte", func(s *config.Spec) { s.Command = "a\x00b" }, "command, environment or directory contains a zero byte"},
		{"environment file", func(s *config.Spec) { s.EnvFiles = []config.EnvFile{{Path: "/nowhere/x"}} },
			"environment file /nowhere/x does not exist; write -/nowhere/x if it may be missing"},
		{"too long", func(s *config.Spec) { s.Command = strings.Repeat("x", 1<<20) }, "command and environment are too long"},
	} {
		p := shell(t, "exit 0", test.change)
		if err := p.Start(t.Context(), Deploy); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

func TestListenersAreTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	p := shell(t, "exec sleep 1000")
	p.start()
	is := func(addr netip.AddrPort, want Listener) {
		t.Helper()
		if got, err := p.Listens(addr); got != want || err != nil {
			t.Errorf("%s: %v %v, want %v", addr, got, err, want)
		}
	}
	is(addr, Foreign)
	is(netip.MustParseAddrPort("127.0.0.1:1"), Nobody)
	is(netip.AddrPortFrom(netip.MustParseAddr("127.9.9.9"), addr.Port()), Nobody)

	for _, host := range []string{"127.0.0.1", "0.0.0.0", "[::]"} {
		port := sockettest.FreePort(t)
		own := shell(t, "exec "+os.Args[0], func(s *config.Spec) { s.Env = []string{fmt.Sprintf("%s=%s:%d", listenVariable, host, port)} })
		own.start()
		own.says("listening ")
		at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
		if got, err := own.Listens(at); got != Own || err != nil {
			t.Errorf("%s: %v %v, want own", host, got, err)
		}
		is(at, Foreign)
		own.stop()
		is(at, Nobody)
	}
}
