// Package stage sets up everything that a play with the example shop needs, in
// a temporary directory: release directories, a configuration, a running
// daemon. It steers the daemon by the command line, as its users do, and
// leaves nothing behind.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say how the stage is set. All but Env are needed.
type Options struct {
	Rollbridge string        // the program under test
	Drain      time.Duration // proxy.drainTimeoutMs
	Health     time.Duration // proxy.healthTimeoutMs
	Env        []string      // more environment of the daemon, and so of the shop
}

// A Stage is one running daemon with releases to deploy. It is for one
// goroutine.
type Stage struct {
	dir        string
	rollbridge string
	config     string
	addr       string
	daemon     *exec.Cmd
	exited     chan struct{} // closed when the daemon has ended
}

// The releases that a stage has. Broken never becomes healthy.
const (
	First  = "1"
	Second = "2"
	Broken = "3"
)

const (
	readyWithin = 15 * time.Second
	endWithin   = 60 * time.Second
)

// New sets the stage and starts the daemon. Close it also when New has failed
// halfway: it answers a Stage whenever there is something to clean up.
func New(ctx context.Context, opt Options) (*Stage, error) {
	program, err := filepath.Abs(opt.Rollbridge)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rollbridge-stage-")
	if err != nil {
		return nil, err
	}
	s := &Stage{dir: dir, rollbridge: program, config: filepath.Join(dir, "rollbridge.yaml")}
	if err := s.prepare(ctx, opt); err != nil {
		return s, fmt.Errorf("prepare %s: %w", dir, err)
	}
	if err := s.start(ctx, opt.Env); err != nil {
		return s, fmt.Errorf("start the daemon: %w", err)
	}
	return s, nil
}

// Addr is where the proxy listens.
func (s *Stage) Addr() string { return s.addr }

// start runs the daemon and waits until it answers.
func (s *Stage) start(ctx context.Context, env []string) error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	s.daemon = exec.Command(s.rollbridge, "daemon", "--runner", "direct", "--config", s.config)
	s.daemon.Env = append(os.Environ(), env...)
	s.daemon.Stdout, s.daemon.Stderr = log, log
	s.daemon.SysProcAttr = ownGroup()
	if err := s.daemon.Start(); err != nil {
		s.daemon = nil
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		s.daemon.Wait()
		close(s.exited)
	}()
	return s.awaitReady(ctx)
}

// ownGroup keeps a Ctrl-C at the terminal from the process: it is for us, and
// we shut the daemon down in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (s *Stage) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		st, err := s.Status(ctx)
		if err == nil {
			s.addr = net.JoinHostPort(st.Proxy.Host, strconv.Itoa(st.Proxy.Port))
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("it ended at once:\n%s", s.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w\n%s", err, s.LogTail())
		case <-again.C:
		}
	}
}

// Deploy deploys a release; the error holds what the command line said.
func (s *Stage) Deploy(ctx context.Context, release string) error {
	path := filepath.Join(s.dir, "releases", release)
	_, err := s.call(ctx, "deploy", "--release-path", path, "--release-id", release)
	return err
}

// Rollback goes back to the release before.
func (s *Stage) Rollback(ctx context.Context) error {
	_, err := s.call(ctx, "rollback")
	return err
}

// call runs a command and returns what it printed.
func (s *Stage) call(ctx context.Context, command string, args ...string) ([]byte, error) {
	args = append([]string{command, "--config", s.config, "--json"}, args...)
	cmd := exec.CommandContext(ctx, s.rollbridge, args...)
	cmd.SysProcAttr = ownGroup()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("rollbridge %s: %w: %s", command, err, strings.TrimSpace(said.String()))
}

// Stats asks the shop how many jobs were put, done and lost.
func (s *Stage) Stats(ctx context.Context) (put, done, lost int, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/stats", nil)
	if err != nil {
		return 0, 0, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		_, err = fmt.Sscanf(string(text), "STATS put=%d done=%d lost=%d", &put, &done, &lost)
	}
	if err != nil {
		err = fmt.Errorf("stats of the shop: %w in %q", err, text)
	}
	return put, done, lost, err
}

// Violations is what schedulers recorded that met another one: "" is right.
func (s *Stage) Violations() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "state", "violations.log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(text)
}

// LogTail is the end of the daemon's log.
func (s *Stage) LogTail() string {
	text, _ := os.ReadFile(s.logPath())
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

func (s *Stage) logPath() string { return filepath.Join(s.dir, "daemon.log") }

// PID is the daemon's process id.
func (s *Stage) PID() int { return s.daemon.Process.Pid }

// Close shuts the daemon down and removes everything. The error tells what was
// left behind and had to be killed: a daemon that is right leaves nothing.
func (s *Stage) Close() error {
	err := s.stopDaemon()
	left, leftErr := s.leftovers()
	for _, pid := range left {
		syscall.Kill(pid, syscall.SIGKILL)
		err = errors.Join(err, fmt.Errorf("process %d was left behind", pid))
	}
	return errors.Join(err, leftErr, os.RemoveAll(s.dir))
}

func (s *Stage) stopDaemon() error {
	if s.daemon == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	_, err := s.call(ctx, "shutdown")
	if err != nil {
		s.daemon.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-s.exited:
	case <-ctx.Done():
		s.daemon.Process.Kill()
		<-s.exited
		err = errors.Join(err, fmt.Errorf("the daemon had not ended after %v", endWithin))
	}
	if err != nil {
		return fmt.Errorf("shut down: %w\n%s", err, s.LogTail())
	}
	return nil
}

// leftovers are the processes whose program lies on the stage.
func (s *Stage) leftovers() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		program, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err == nil && strings.HasPrefix(program, s.dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
