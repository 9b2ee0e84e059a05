package benchsystemd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// instance is a daemon, which runs as a child, and its application.
type instance struct {
	*testing.B
	name   string
	daemon *exec.Cmd
	client http.Client
}

// port is that of the proxy; the next ones are the application's. There is one
// instance at a time.
const port = 21000

// newInstance writes a configuration with a web process and others. The
// daemon's end takes away all that it runs.
func newInstance(b *testing.B, name, others string) *instance {
	in := &instance{B: b, name: name, client: http.Client{Timeout: patience}}
	for _, dir := range []string{"/etc/rollbridge", in.release(0)} {
		in.must(os.MkdirAll(dir, 0o755))
	}
	in.must(os.WriteFile(in.config(), fmt.Appendf(nil, `user: app
proxy: {port: %d, healthPath: /}
processes:
  - {id: web, policy: proxied, command: exec %s, port: {from: %d, to: %d}, health: {intervalMs: 5}}
%s`, port, app, port+1, port+99, others), 0o644))
	b.Cleanup(func() {
		in.client.CloseIdleConnections()
		if in.daemon != nil {
			in.cli("shutdown")
			in.daemon.Wait()
		}
	})
	return in
}

func (in *instance) config() string { return "/etc/rollbridge/" + in.name + ".yaml" }

func (in *instance) release(n int) string {
	return filepath.Join("/srv", in.name, "releases", fmt.Sprint("r", n))
}

func (in *instance) must(err error) {
	if err != nil {
		in.Helper()
		in.Fatal(err)
	}
}

// start starts a daemon; it takes until it says that it is ready.
func (in *instance) start() time.Duration {
	ready, say, err := os.Pipe()
	in.must(err)
	defer ready.Close()
	in.daemon = exec.Command(program, "daemon", "--config", in.config(), "--runner", "systemd")
	in.daemon.Env = append(os.Environ(), "ROLLBRIDGE_READY_FD=3")
	in.daemon.ExtraFiles = []*os.File{say}
	return timed(func() {
		err := in.daemon.Start()
		say.Close()
		in.must(err)
		if word, _ := io.ReadAll(ready); len(word) == 0 {
			in.Fatal("the daemon has ended before it was ready")
		}
	})
}

// kill kills the daemon. What it runs goes on.
func (in *instance) kill() {
	in.must(in.daemon.Process.Kill())
	in.daemon.Wait()
}

// cli runs rollbridge for this instance.
func (in *instance) cli(args ...string) time.Duration {
	return in.command(append([]string{program, args[0], "--config", in.config()}, args[1:]...)...)
}

// command runs a command that must succeed. systemctl's status of a slice is 3
// when one of its units waits, which none does here.
func (in *instance) command(argv ...string) time.Duration {
	return timed(func() {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			in.Fatalf("%v: %v\n%s", argv, err, out)
		}
	})
}

// deploy deploys a release and returns when the one before is gone.
func (in *instance) deploy(n int) (took time.Duration) {
	in.must(os.MkdirAll(in.release(n), 0o755))
	took = in.cli("deploy", "--release-path", in.release(n), "--release-id", fmt.Sprint("r", n))
	in.settle()
	return took
}

// settle waits until no release drains.
func (in *instance) settle() {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		out, err := exec.Command(program, "status", "--json", "--config", in.config()).Output()
		in.must(err)
		var status struct{ Releases []struct{ State string } }
		in.must(json.Unmarshal(out, &status))
		draining := false
		for _, r := range status.Releases {
			draining = draining || r.State == "draining"
		}
		if !draining {
			return
		}
		if time.Now().After(deadline) {
			in.Fatal("a release does not end")
		}
	}
}

// get asks the proxy, or an application itself, on a connection that is kept,
// for the release that answers.
func (in *instance) get(port int) (release string, err error) {
	res, err := in.client.Get(fmt.Sprint("http://127.0.0.1:", port, "/"))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, line)
	}
	return line, err
}

func BenchmarkRestart(b *testing.B) {
	t := newBench(b)
	t.startPlain()
	b.Cleanup(func() { t.stopPlain(plainUnit) })
	in := newInstance(b, "restart", "  - {id: worker, command: exec sleep infinity}\n")
	in.start()
	in.deploy(0)
	compare(b,
		func() time.Duration { return in.cli("restart", "--process", "worker") },
		func() time.Duration { defer t.executed(); return in.command("systemctl", "restart", plainUnit) })
}

func BenchmarkDeploy(b *testing.B) {
	in := newInstance(b, "deploy", "")
	in.start()
	in.deploy(0)
	n := 0
	compare(b, func() time.Duration {
		n++
		return in.deploy(n)
	}, in.plainDeploy)
}

// plainDeploy starts the application as a plain unit and waits until it answers.
func (in *instance) plainDeploy() time.Duration {
	const port = port + 200
	defer in.command("systemctl", "stop", plainUnit)
	return timed(func() {
		in.command("systemd-run", "--quiet", "--collect", "--unit="+plainUnit, "--uid=app",
			fmt.Sprint("--setenv=ROLLBRIDGE_PORT=", port), "--setenv=ROLLBRIDGE_RELEASE_ID=plain", app)
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			_, err := in.get(port)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				in.Fatal(err)
			}
		}
	})
}

// BenchmarkSwitch has a client that asks again as soon as it has the answer. The
// switch costs it what the first answer of the new release comes later than
// usual.
func BenchmarkSwitch(b *testing.B) {
	in := newInstance(b, "switch", "")
	in.start()
	in.deploy(0)
	var switches, usual series
	n := 0
	for b.Loop() {
		n++
		deployed := make(chan struct{})
		go func() {
			defer close(deployed)
			in.deploy(n)
		}()
		met, others := in.meetSwitch(deployed)
		switches, usual = append(switches, met), append(usual, others...)
	}
	report(b, switches, usual)
}

// meetSwitch asks until a deploy is over. No request may fail.
func (in *instance) meetSwitch(deployed <-chan struct{}) (met time.Duration, others series) {
	before, err := in.get(port)
	in.must(err)
	for {
		select {
		case <-deployed:
			if met == 0 {
				in.Fatal("the switch was not seen")
			}
			return met, others
		default:
		}
		var release string
		took := timed(func() { release, err = in.get(port) })
		in.must(err)
		if release != before {
			before, met = release, took
			continue
		}
		others = append(others, took)
	}
}

func benchmarkAdopt(b *testing.B, processes int) {
	idle := newInstance(b, "idle", "")
	in := newInstance(b, fmt.Sprint("adopt", processes),
		fmt.Sprintf("  - {id: worker, command: exec sleep infinity, replicas: %d}\n", processes-1))
	in.start()
	in.deploy(0)
	in.kill()
	compare(b, func() time.Duration {
		took := in.start()
		in.adopted(processes)
		in.kill()
		return took
	}, func() time.Duration {
		took := idle.start()
		idle.kill()
		return took
	})
	idle.daemon = nil
	in.start() // which takes away what it runs
}

// adopted checks that so many processes run under the daemon.
func (in *instance) adopted(want int) {
	out, err := exec.Command(program, "status", "--json", "--config", in.config()).Output()
	in.must(err)
	var status struct {
		Releases []struct{ Processes []struct{ State string } }
	}
	in.must(json.Unmarshal(out, &status))
	n := 0
	for _, r := range status.Releases {
		for _, p := range r.Processes {
			if p.State == "running" {
				n++
			}
		}
	}
	if n != want {
		in.Fatalf("%d processes run, not %d", n, want)
	}
}

func BenchmarkAdopt20(b *testing.B)  { benchmarkAdopt(b, 20) }
func BenchmarkAdopt200(b *testing.B) { benchmarkAdopt(b, 200) }

func benchmarkStatus(b *testing.B, format string, peer ...string) {
	in := newInstance(b, "status", "  - {id: worker, command: exec sleep infinity, replicas: 19}\n")
	in.start()
	in.deploy(0)
	compare(b,
		func() time.Duration { return in.cli("status", format) },
		func() time.Duration { return in.command(peer...) })
}

func BenchmarkStatusText(b *testing.B) {
	benchmarkStatus(b, "--text", "systemctl", "status", "--no-pager", "rollbridge-status.slice")
}

func BenchmarkStatusJSON(b *testing.B) {
	benchmarkStatus(b, "--json", "systemctl", "show", "rollbridge-status.*")
}
