package hosted

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

const ms = time.Millisecond

func unlimited(command string) config.Spec {
	return config.Spec{Command: command, Restart: config.Restart{Max: config.Unlimited, Factor: 1}}
}

// Any exit status is the command's own business, the number of the signal that
// means giving up too.
func TestEveryExitStatusIsRestarted(t *testing.T) {
	u := newUnit(t, unlimited(`n=$(cat "$SHARE/n" 2>/dev/null || echo 0); [ $n -lt 256 ] || exec sleep 1000; echo $((n+1)) >"$SHARE/n"; exit $n`))
	_ = u.start() // a command that ends at once can fail its start job
	var codes []int
	seen := uint64(0)
	u.await("256 exits", func() bool {
		records, err := u.gates.Records(u.def.ID, seen)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if seen = r.Seq; r.Kind == gate.Exited {
				codes = append(codes, r.Code)
			}
		}
		return len(codes) >= 256
	})
	for want, got := range codes {
		if got != want {
			t.Fatalf("exit %d is recorded as %d", want, got)
		}
	}
	if r := u.awaitKind(gate.Started); r.Restarts != 256 || r.Reason != "crash" {
		t.Errorf("%+v", r)
	}
}

// gaps runs a command that ends at once until it is given up, and returns the
// times from its end to its next start.
func gaps(t *testing.T, p config.Restart) []time.Duration {
	t.Helper()
	u := newUnit(t, config.Spec{Command: `date +%s%N >>"$SHARE/begins"; date +%s%N >>"$SHARE/ends"; exit 1`, Restart: p})
	_ = u.start()
	if r := u.awaitKind(gate.GaveUp); r.Restarts != p.Max {
		t.Errorf("%+v", r)
	}
	u.await("failed", func() bool { return u.show("ActiveState") == "ActiveState=failed" })
	if got := u.show("Result", "ExecMainStatus"); got != "Result=signal ExecMainStatus=62" {
		t.Error(got)
	}
	begins, ends := u.stamps("begins"), u.stamps("ends")
	if len(begins) != p.Max+1 {
		t.Fatalf("%d starts", len(begins))
	}
	var gaps []time.Duration
	for i := range p.Max {
		gaps = append(gaps, begins[i+1]-ends[i])
	}
	return gaps
}

func (u *unit) stamps(file string) (times []time.Duration) {
	u.Helper()
	for field := range strings.FieldsSeq(u.read(file)) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			u.Fatal(err)
		}
		times = append(times, time.Duration(n))
	}
	return times
}

// Gaps are never shorter than the policy's, and at most 60 ms longer. On a busy
// machine single ones are longer, so the shortest of some runs counts; and one on
// which systemd itself takes long to start a program again says nothing.
func TestGapsAreThoseOfThePolicy(t *testing.T) {
	p := config.Restart{Delay: 100 * ms, Max: 5, Factor: 2, MaxDelay: time.Second}
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second}
	least := slices.Repeat([]time.Duration{time.Hour}, len(want))
	for range 5 {
		got := gaps(t, p)
		t.Logf("gaps %v", got)
		good := true
		for i := range want {
			if got[i] < want[i] {
				t.Errorf("gap %d is %s, shorter than %s", i, got[i], want[i])
			}
			least[i] = min(least[i], got[i])
			good = good && least[i] <= want[i]+60*ms
		}
		if good {
			return
		}
	}
	if own := plainGap(t); own > 25*ms {
		t.Logf("gaps %v are too long, but systemd alone takes %s", least, own)
		return
	}
	t.Errorf("gaps %v, want at most 60 ms more than %v", least, want)
}

// plainGap is how long systemd takes to start a program again that has no gate,
// at best.
func plainGap(t *testing.T) time.Duration {
	t.Helper()
	u := newUnit(t, config.Spec{Command: "-"})
	out, err := exec.Command("systemd-run", "--quiet", "--unit="+u.def.Unit, "--property=Restart=always", "--property=RestartSec=0",
		"--property=StartLimitBurst=10", "--property=StartLimitIntervalSec=infinity", "--setenv=SHARE="+u.share,
		"/bin/sh", "-c", `date +%s%N >>"$SHARE/begins"; date +%s%N >>"$SHARE/ends"; exit 1`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u.await("failed", func() bool { return u.show("ActiveState") == "ActiveState=failed" })
	begins, ends := u.stamps("begins"), u.stamps("ends")
	least := time.Hour
	for i, end := range ends[:len(ends)-1] {
		least = min(least, begins[i+1]-end)
	}
	return least
}

func TestAStopWhileTheGateWaitsIsQuickAndClean(t *testing.T) {
	u := newUnit(t, config.Spec{Command: "exit 1", Restart: config.Restart{Delay: time.Hour, Max: 5, Factor: 1}})
	_ = u.start()
	u.awaitKind(gate.Waiting)
	u.await("status", func() bool { return strings.HasPrefix(u.show("StatusText"), "StatusText=restart 1 of 5 in 3") })
	if got := u.show("ActiveState", "SubState"); got != "ActiveState=activating SubState=start" {
		t.Error(got)
	}
	began := time.Now()
	out, err := exec.Command("systemctl", "stop", u.def.Unit).CombinedOutput()
	took := time.Since(began)
	if err != nil || took > time.Second {
		t.Errorf("%v after %s: %s", err, took, out)
	}
	t.Logf("stopped in %s", took)
	if got := u.show("ActiveState", "Result"); got != "ActiveState=inactive Result=success" {
		t.Error(got)
	}
	if got := u.happened(); got != "started, exited, waiting" {
		t.Error(got)
	}
}

func TestAStartByHandHasAFreshBudget(t *testing.T) {
	u := newUnit(t, config.Spec{Command: `[ -e "$SHARE/go" ] || exit 1; rm "$SHARE/go"; exec sleep 1000`, Restart: config.Restart{Max: 3, Factor: 1, Delay: 50 * ms}})
	u.touch("go")
	u.mustStart()
	u.awaitTaken("go")
	u.systemctl("kill", "--signal=KILL")
	u.awaitKind(gate.GaveUp)
	u.await("failed", func() bool { return u.show("ActiveState") == "ActiveState=failed" })
	if r := u.last(); len(r.History.Restarts) != 3 || r.Restarts != 3 {
		t.Errorf("%+v", r)
	}
	u.touch("go")
	u.systemctl("start")
	if r := u.awaitKind(gate.Started); r.Reason != "manual" || len(r.History.Restarts) != 0 || r.Restarts != 3 {
		t.Errorf("%+v", r)
	}
	u.awaitTaken("go")
	u.touch("go")
	u.systemctl("kill", "--signal=SEGV") // one crash, then a restart by hand of what runs
	u.await("crash", func() bool { r := u.last(); return r.Kind == gate.Started && r.Reason == "crash" })
	u.awaitTaken("go")
	u.touch("go")
	u.systemctl("restart")
	if r := u.last(); r.Kind != gate.Started || r.Reason != "manual" || len(r.History.Restarts) != 0 {
		t.Errorf("%+v", r)
	}
}

// awaitTaken waits until a command has removed a file.
func (u *unit) awaitTaken(name string) {
	u.Helper()
	u.await(name+" is taken", func() bool {
		_, err := os.Stat(u.share + "/" + name)
		return os.IsNotExist(err)
	})
}

func (u *unit) touch(name string) {
	u.Helper()
	if err := os.WriteFile(u.share+"/"+name, nil, 0o666); err != nil {
		u.Fatal(err)
	}
}

func TestACommandIsAsInAPlainService(t *testing.T) {
	// The shell reads its status itself: it blocks signals while it forks.
	spec := unlimited(`id -un; id -gn; 
		while read -r name value; do case $name in SigBlk:|SigIgn:|CapEff:) printf '%s\t%s\n' $name $value;; esac; done </proc/self/status
		echo $$ $(cut -d' ' -f5,6 /proc/$$/stat); ulimit -Sn; umask
		grep -c . /proc/self/cgroup >/dev/null; env | grep -cE '^(NOTIFY_SOCKET|ROLLBRIDGE_|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_)'; echo $HOME; exec sleep 1000`)
	spec.User = "app"
	u := newUnit(t, spec)
	u.mustStart("UMask=0027", "LimitNOFILE=777:4096")
	pid := u.last().PID
	none := "0000000000000000"
	want := []string{"app", "app", "SigBlk:\t" + none, "SigIgn:\t" + none, "CapEff:\t" + none,
		fmt.Sprintf("%d %d %d", pid, pid, pid), "777", "0027", "0", "/home/app"}
	var got []string
	for _, l := range journal(t, u.def.Unit, "shop.worker@v42", len(want)) {
		got = append(got, l.Message)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := u.show("MainPID"); got != fmt.Sprintf("MainPID=%d", pid) {
		t.Error(got)
	}
}

// Children that are gone when the journal looks at them are the hard case.
func TestEveryLineIsTheUnits(t *testing.T) {
	spec := unlimited(`for i in $(seq 20); do sh -c "echo out $i"; sh -c "echo err $i >&2"; done; exec sleep 1000`)
	spec.User = "app"
	u := newUnit(t, spec)
	u.mustStart()
	lines := journal(t, u.def.Unit, "shop.worker@v42", 40)
	count := map[string]int{}
	for _, l := range lines {
		count[l.Message[:3]+" "+l.Priority]++
	}
	if len(lines) != 40 || count["out 6"] != 20 || count["err 3"] != 20 {
		t.Errorf("%d lines: %v", len(lines), count)
	}
}

func TestACommandIsTheSameAfterADaemonReload(t *testing.T) {
	text := "$HOME ${SHARE} $$ ; \" ' % %n %% \\ \\n `x` \ttab\nsecond line äöü € \U0001f680 #"
	quoted := "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	u := newUnit(t, unlimited(`printf %s `+quoted+` "$TEXT" >"$SHARE/said"; exec sleep 1000`))
	u.write(func(d *gate.Definition) { d.Spec.Env = []string{"TEXT=" + text} })
	u.mustStart()
	for _, when := range []string{"before", "after", "after two"} {
		u.await("said", func() bool {
			_, err := os.Stat(u.share + "/said")
			return err == nil && len(u.read("said")) >= 2*len(text)
		})
		if got := u.read("said"); got != text+text {
			t.Errorf("%s a reload: %q", when, got)
		}
		if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.Remove(u.share + "/said"); err != nil {
			t.Fatal(err)
		}
		before := u.last()
		u.systemctl("kill", "--signal=KILL")
		u.await("restart", func() bool { r := u.last(); return r.Kind == gate.Started && r.Seq > before.Seq })
	}
}

func TestAFailedStartFailsItsJobAndIsRetried(t *testing.T) {
	spec := config.Spec{Command: "exec sleep 1000", Dir: "/srv/none", Restart: config.Restart{Delay: 300 * ms, Max: 5, Factor: 1}}
	u := newUnit(t, spec)
	if err := u.start(); err == nil {
		t.Error("the start job is done")
	}
	first := u.records()[0]
	if first.Kind != gate.Failed || first.Error != "working directory /srv/none does not exist" {
		t.Errorf("%+v", first)
	}
	if err := os.MkdirAll("/srv/none", 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/srv/none")
	if r := u.awaitKind(gate.Started); r.Restarts < 1 || r.Boot-first.Boot < 300*ms || r.Error != "" {
		t.Errorf("%+v", r)
	}
}

func TestHowACommandEndedIsRecorded(t *testing.T) {
	for command, want := range map[string]string{
		"exit 0":            "0 0 success",
		"exit 7":            "7 0 exit-code",
		"kill -TERM $$":     "0 15 success",
		"kill -SEGV $$":     "0 11 signal",
		"kill -62 $$":       "0 62 signal",
		"exec kill -ABRT 0": "0 6 signal",
	} {
		spec := unlimited(command)
		spec.Restart.Max = 0
		u := newUnit(t, spec)
		_ = u.start("LimitCORE=0")
		u.await("the end", func() bool { r := u.last(); return r.Kind != gate.Started && r.Kind != "" })
		for _, r := range u.records() {
			if r.Kind != gate.Exited {
				continue
			}
			if got := fmt.Sprint(r.Code, r.Signal, " ", r.Result); got != want && got != strings.Replace(want, " signal", " core-dump", 1) {
				t.Errorf("%s: %s", command, got)
			}
		}
	}
}

func TestAShimGoesInItsScope(t *testing.T) {
	spec := unlimited(`echo in $(cat /proc/self/cgroup | grep -o '[^/]*scope$'); sh -c "echo child"; exec sleep 1000`)
	spec.User = "app"
	u := newUnit(t, spec)
	scope := strings.Replace(u.def.Unit, ".service", ".1.scope", 1)
	u.write(func(d *gate.Definition) { d.Unit = scope })
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", scope).Run() })

	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shim := exec.Command(program(), "exec", "--scope", u.def.ID)
	shim.Env = []string{"ROLLBRIDGE_GATES=" + string(u.gates)}
	shim.ExtraFiles = []*os.File{read}
	shim.Stderr = os.Stderr
	if err := shim.Start(); err != nil {
		t.Fatal(err)
	}
	defer shim.Wait()
	defer shim.Process.Kill()
	out, err := exec.Command("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
		"StartTransientUnit", "ssa(sv)a(sa(sv))", scope, "fail", "1", "PIDs", "au", "1", strconv.Itoa(shim.Process.Pid), "0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u.await("scope", func() bool {
		out, _ := exec.Command("systemctl", "is-active", scope).Output()
		return string(out) == "active\n"
	})
	write.Write([]byte{1})
	lines := journal(t, scope, "shop.worker@v42", 2)
	if len(lines) != 2 || lines[0].Message != "in "+scope || lines[1].Message != "child" {
		t.Errorf("%+v", lines)
	}
}

func TestAGateUnderAUsersOwnManager(t *testing.T) {
	if out, err := exec.Command("loginctl", "enable-linger", "app").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u := newUnit(t, unlimited("echo hello; exec sleep 1000"))
	u.await("manager of the user", func() bool { return asApp("systemctl", "--user", "is-system-running", "--wait") == nil })
	if out, err := exec.Command("chown", "-R", "app:app", string(u.gates)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := asApp(append([]string{"systemd-run", "--user"}, u.arguments(nil)...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = asApp("systemctl", "--user", "stop", u.def.Unit) })
	if err := asApp("systemctl", "--user", "kill", "--signal=KILL", u.def.Unit); err != nil {
		t.Fatal(err)
	}
	u.await("crash", func() bool { r := u.last(); return r.Kind == gate.Started && r.Reason == "crash" && r.Restarts == 1 })
	if err := asApp("systemctl", "--user", "restart", u.def.Unit); err != nil {
		t.Fatal(err)
	}
	if r := u.last(); r.Kind != gate.Started || r.Reason != "manual" {
		t.Errorf("%+v", r)
	}
}

// asApp runs a command as the ordinary user, with a way to its own manager.
func asApp(argv ...string) error {
	out, err := exec.Command("runuser", append([]string{"-u", "app", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000"}, argv...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, out)
	}
	return nil
}
