package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These make the test binary a gate.
const (
	roleVariable  = "TEST_GATE" // "run", "ended" or "shim"
	dirVariable   = "TEST_GATE_DIR"
	countVariable = "TEST_GATE_NRESTARTS" // what the manager answers
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := beGate(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beGate(role string) error {
	dir := os.Getenv(dirVariable)
	g := Gate{
		Dir:        Dir(filepath.Join(dir, "exec")),
		Manager:    fakeManager{},
		Notify:     os.Getenv("NOTIFY_SOCKET"),
		Invocation: os.Getenv("INVOCATION_ID"),
		Journal:    filepath.Join(dir, "journal"),
		Stderr:     os.Stderr,
	}
	switch role {
	case "ended":
		return g.Ended("a1", Outcome{os.Getenv("SERVICE_RESULT"), os.Getenv("EXIT_CODE"), os.Getenv("EXIT_STATUS")})
	case "shim":
		return g.Shim("a1")
	}
	return g.Run(context.Background(), "a1")
}

// fakeManager is a manager that answers what the test says, or not at all.
type fakeManager struct{}

func (fakeManager) NRestarts(ctx context.Context, unit string) (uint32, error) {
	if unit != shell("").Unit {
		return 0, errors.New("no such unit")
	}
	n, err := strconv.ParseUint(os.Getenv(countVariable), 10, 32)
	if err != nil {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return uint32(n), nil
}

func (fakeManager) ForgetStarts(_ context.Context, unit string) error {
	return os.WriteFile(filepath.Join(os.Getenv(dirVariable), "forgotten"), []byte(unit), 0o644)
}

// host is a manager and a journal for gates, without systemd.
type host struct {
	*testing.T
	dir      string
	gates    Dir
	messages chan string // what the manager is told
	journal  *journal
}

func newHost(t *testing.T, def Definition) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{T: t, dir: dir, gates: Dir(filepath.Join(dir, "exec")), messages: make(chan string, 100)}
	if err := os.Chmod(dir, 0o711); err != nil { // gates become other users
		t.Fatal(err)
	}
	h.listenForMessages()
	h.journal = listenForStreams(t, filepath.Join(dir, "journal"))
	mustWrite(t, h.gates, def)
	return h
}

func (h *host) listenForMessages() {
	path := filepath.Join(h.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		h.Fatal(err)
	}
	os.Chmod(path, 0o777)
	h.Cleanup(func() { conn.Close() })
	go func() {
		for buffer := make([]byte, 4096); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			h.messages <- string(buffer[:n])
		}
	}()
}

// told waits for the next message of a gate.
func (h *host) told() string {
	h.Helper()
	select {
	case m := <-h.messages:
		return m
	case <-time.After(20 * time.Second):
		h.Fatal("the manager is told nothing")
		return ""
	}
}

// awaitReady waits until the gate says that the command is next.
func (h *host) awaitReady() {
	h.Helper()
	for h.told() != "READY=1\nSTATUS=" {
	}
}

// program is a gate as the manager starts it, with the count that it answers;
// "" for none.
func (h *host) program(role, nRestarts string, env ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append([]string{
		roleVariable + "=" + role, dirVariable + "=" + h.dir, countVariable + "=" + nRestarts,
		"NOTIFY_SOCKET=" + filepath.Join(h.dir, "notify"), "INVOCATION_ID=run7", "JOURNAL_STREAM=1:2",
		"LISTEN_FDS=0", "WATCHDOG_USEC=1", "ROLLBRIDGE_GATES=x", "GORACE=atexit_sleep_ms=0",
	}, env...)
	return cmd
}

// process is a gate under way, or the command it has become.
type process struct {
	*exec.Cmd
	h     *host
	said  *strings.Builder
	ended chan struct{}
}

func (h *host) start(cmd *exec.Cmd) *process {
	h.Helper()
	p := &process{Cmd: cmd, h: h, said: new(strings.Builder), ended: make(chan struct{})}
	cmd.Stderr = p.said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	h.Cleanup(func() {
		cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// wait waits for the end: "exit 3" or "signal 62", and what was said on stderr.
func (p *process) wait() (end, said string) {
	p.h.Helper()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.h.Fatal("the process does not end")
	}
	status := p.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return fmt.Sprintf("signal %d", status.Signal()), p.said.String()
	}
	return fmt.Sprintf("exit %d", status.ExitStatus()), p.said.String()
}

// gate runs a gate to its end.
func (h *host) gate(nRestarts string) (end, said string) {
	h.Helper()
	return h.start(h.program("run", nRestarts)).wait()
}

// note tells the gate's other half how the command ended, as systemd does.
func (h *host) note(end string) {
	h.Helper()
	code, status, _ := strings.Cut(end, " ")
	env := map[string][]string{
		"exit":   {"SERVICE_RESULT=exit-code", "EXIT_CODE=exited"},
		"signal": {"SERVICE_RESULT=signal", "EXIT_CODE=killed"},
	}[code]
	cmd := h.program("ended", "", append(env, "EXIT_STATUS="+status)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
}

func (h *host) records() []Record {
	h.Helper()
	records, err := h.gates.Records("a1", 0)
	if err != nil {
		h.Fatal(err)
	}
	return records
}

func (h *host) last() Record {
	h.Helper()
	records := h.records()
	if len(records) == 0 {
		h.Fatal("nothing is recorded")
	}
	return records[len(records)-1]
}

// happened lists the kinds of all records.
func (h *host) happened() string {
	var kinds []string
	for _, r := range h.records() {
		kinds = append(kinds, string(r.Kind))
	}
	return strings.Join(kinds, ", ")
}

// journal is a journal's stream socket.
type journal struct {
	mu      sync.Mutex
	streams []*stream
	changed chan struct{}
}

type stream struct {
	header []string
	lines  []string
	ended  bool
}

const headerLines = 7

func listenForStreams(t *testing.T, path string) *journal {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	j := &journal{changed: make(chan struct{})}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s := new(stream)
			j.change(func() { j.streams = append(j.streams, s) })
			go j.read(conn, s)
		}
	}()
	return j
}

func (j *journal) read(conn net.Conn, s *stream) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		j.change(func() {
			if len(s.header) < headerLines {
				s.header = append(s.header, lines.Text())
				return
			}
			s.lines = append(s.lines, lines.Text())
		})
	}
	j.change(func() { s.ended = true })
}

func (j *journal) change(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
	close(j.changed)
	j.changed = make(chan struct{})
}

// awaitEnd waits until so many streams were opened and closed.
func (j *journal) awaitEnd(t *testing.T, n int) []*stream {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		j.mu.Lock()
		ended := 0
		for _, s := range j.streams {
			if s.ended {
				ended++
			}
		}
		streams, changed := j.streams, j.changed
		j.mu.Unlock()
		if ended >= n {
			return streams
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d streams, %d of them ended", len(streams), ended)
		}
	}
}

// output is what one command has written to stdout.
func (h *host) output() []string {
	h.Helper()
	return h.journal.awaitEnd(h.T, 2)[0].lines
}
