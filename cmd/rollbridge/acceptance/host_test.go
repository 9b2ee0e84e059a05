package acceptance

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long a check waits for something that has to happen. It is
// long, because only a failing check ever waits for its end.
const patience = 30 * time.Second

var binary string

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "app" {
		appMain(os.Args[2:])
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rollbridge-acceptance-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if binary = os.Getenv("ROLLBRIDGE_BIN"); binary == "" {
		binary = filepath.Join(dir, "rollbridge")
		args := []string{"build", "-o", binary}
		if raceEnabled {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, "rollbridge/cmd/rollbridge")...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
	}
	flag.Parse()
	flag.Set("test.parallel", "6") // they wait more than they work
	return m.Run()
}

// object is a decoded JSON object.
type object = map[string]any

// host is a daemon with its configuration and everything that it may leave
// behind.
type host struct {
	t      *testing.T
	app    string // name of the application
	dir    string
	config string
	env    []string
	wrap   string     // starts the daemon in place of the program
	files  []*os.File // that the daemon gets, from descriptor 3 on
	cmd    *exec.Cmd
	exited chan struct{}
	stderr lockedBuffer

	mu      sync.Mutex
	events  []object
	changed chan struct{}
}

const basicConfig = `
application: shop
control: {path: control.sock}
proxy: {port: 0, healthTimeoutMs: 20000}
processes:
  - {id: web, policy: proxied, command: "exec $APP web", port: PORTS, gracefulStopMs: 2000}
`

// hosts counts the hosts: each has an application of its own, since units are
// named after it.
var hosts atomic.Int64

// firstPort begins the ports of the hosts. Each has its own, of those that the
// kernel hands out to nobody: no other test may get one between its choice and its use.
var firstPort = rand.IntN(20_000)

// ports are those of the nth host.
func ports(n int) string {
	const each = 20
	from := 10_000 + (firstPort+n*each)%20_000
	return fmt.Sprintf("{from: %d, to: %d}", from, from+each-1)
}

// newHost writes a configuration, in which the application is called shop-N
// instead of shop, and PORTS are ports of its own; nothing runs yet. $APP in
// commands starts the test application.
func newHost(t *testing.T, config string) *host {
	t.Helper()
	t.Parallel()
	dir, err := os.MkdirTemp("", "rb") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	n := int(hosts.Add(1))
	h := &host{t: t, app: fmt.Sprintf("shop-%d", n), dir: dir, config: filepath.Join(dir, "rollbridge.yaml"), changed: make(chan struct{})}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.env = append(os.Environ(), "ROLLBRIDGE_RUNNER="+cmp.Or(os.Getenv("ROLLBRIDGE_RUNNER"), "direct"), "APP="+self+" app", "DIARY="+h.path("diary"), "MARK="+dir)
	if os.Geteuid() == 0 {
		config = "user: root\n" + config
	}
	h.write("rollbridge.yaml", strings.NewReplacer("application: shop\n", "application: "+h.app+"\n", "PORTS", ports(n)).Replace(config))
	t.Cleanup(func() { h.cleanup() })
	return h
}

// start is newHost with a running daemon.
func start(t *testing.T, config string) *host {
	t.Helper()
	h := newHost(t, config)
	h.startDaemon()
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// edit replaces text in the configuration.
func (h *host) edit(from, to string) {
	h.t.Helper()
	b, err := os.ReadFile(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		h.t.Fatalf("the configuration does not contain %q", from)
	}
	h.write("rollbridge.yaml", strings.ReplaceAll(string(b), from, to))
}

// startDaemon starts the daemon and waits until it takes commands.
func (h *host) startDaemon() {
	h.t.Helper()
	h.spawn()
	h.awaitEvent("control socket listening", nil)
}

// spawn starts the daemon and collects its events.
func (h *host) spawn() {
	h.t.Helper()
	h.cmd = exec.Command(cmp.Or(h.wrap, binary), "daemon", "--config", h.config)
	h.cmd.ExtraFiles = h.files
	h.cmd.Env, h.cmd.Stderr, h.cmd.Dir = h.env, &h.stderr, h.dir
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.events = nil
	h.mu.Unlock()
	exited, cmd := make(chan struct{}), h.cmd
	h.exited = exited
	go func() {
		h.collect(out)
		cmd.Wait()
		close(exited)
	}()
}

func (h *host) collect(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event object
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			h.t.Errorf("the daemon's log has the line %q: %v", lines.Text(), err)
			continue
		}
		h.mu.Lock()
		h.events = append(h.events, event)
		close(h.changed)
		h.changed = make(chan struct{})
		h.mu.Unlock()
	}
}

// awaitEvent waits for an event with that message that match accepts; nil
// accepts all.
func (h *host) awaitEvent(message string, match func(data object) bool) object {
	h.t.Helper()
	return h.awaitEvents(1, message, match)[0]
}

// awaitEvents waits until there are n such events, and returns all there are.
func (h *host) awaitEvents(n int, message string, match func(data object) bool) []object {
	h.t.Helper()
	timeout := time.After(patience)
	for {
		found, changed := h.findEvents(message, match)
		if len(found) >= n {
			return found
		}
		select {
		case <-changed:
		case <-h.exited:
			if found, _ = h.findEvents(message, match); len(found) >= n {
				return found
			}
			h.t.Fatalf("the daemon ended before the event %q; it said %s", message, h.stderr.String())
		case <-timeout:
			h.t.Fatalf("%d of %d events %q; there are %v", len(found), n, message, h.messages())
		}
	}
}

func (h *host) findEvents(message string, match func(object) bool) (found []object, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, event := range h.events {
		data, _ := event["data"].(object)
		if event["message"] == message && (match == nil || match(data)) {
			found = append(found, data)
		}
	}
	return found, h.changed
}

// log is the events so far.
func (h *host) log() []object {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

func (h *host) messages() []string {
	var messages []string
	for _, event := range h.log() {
		messages = append(messages, event["message"].(string))
	}
	return messages
}

// of matches events of one process.
func of(process string) func(object) bool {
	return func(data object) bool { return data["processId"] == process }
}

// ofRelease matches events of a release.
func ofRelease(id string) func(object) bool {
	return func(data object) bool { return data["releaseId"] == id }
}

// eventually waits until a condition holds. It is asked again at every event,
// and now and then for what makes no event, such as a connection.
func (h *host) eventually(what string, holds func() bool) {
	h.t.Helper()
	timeout := time.After(patience)
	for !holds() {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			h.t.Fatalf("not so: %s; status %s", what, h.statusText())
		}
	}
}

// result is what a run of the program left.
type result struct {
	stdout, stderr string
	code           int
}

// json decodes the standard output.
func (r result) json(t *testing.T) object {
	t.Helper()
	var v object
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("output %q (%s): %v", r.stdout, r.stderr, err)
	}
	return v
}

// cli runs the program with the host's configuration.
func (h *host) cli(args ...string) result {
	h.t.Helper()
	return h.program(append(args[:1:1], append([]string{"--config", h.config}, args[1:]...)...)...)
}

// program runs the program with just these arguments.
func (h *host) program(args ...string) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Dir = h.env, h.dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		h.t.Fatalf("rollbridge %v: %v", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// release makes a release directory, with files that say how it behaves.
func (h *host) release(id string, files ...string) string {
	h.t.Helper()
	dir := h.path("releases/" + id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		h.write("releases/"+id+"/"+files[i], files[i+1])
	}
	return dir
}

// deploy makes a release directory and deploys it; it must succeed.
func (h *host) deploy(id string, files ...string) object {
	h.t.Helper()
	r := h.tryDeploy(id, files...)
	if r.code != 0 {
		h.t.Fatalf("deploy %s: %s", id, r.stderr)
	}
	return r.json(h.t)
}

func (h *host) tryDeploy(id string, files ...string) result {
	h.t.Helper()
	return h.cli("deploy", "--release-path", h.release(id, files...), "--release-id", id)
}

// must runs a command that has to succeed, and decodes its answer.
func (h *host) must(args ...string) object {
	h.t.Helper()
	r := h.cli(args...)
	if r.code != 0 {
		h.t.Fatalf("%v: exit %d, %s", args, r.code, r.stderr)
	}
	return r.json(h.t)
}

// fails runs a command that has to fail with a text.
func (h *host) fails(code int, says string, args ...string) {
	h.t.Helper()
	if r := h.cli(args...); r.code != code || !strings.Contains(r.stderr, says) || r.stdout != "" {
		h.t.Errorf("%v: exit %d, stdout %q, stderr %q; want exit %d saying %q", args, r.code, r.stdout, r.stderr, code, says)
	}
}

// socket is the path of the control socket.
func (h *host) socket() string { return h.path("control.sock") }

// call sends one control line and returns the answer.
func (h *host) call(line string) object {
	h.t.Helper()
	return h.calls(1, line+"\n")[0]
}

// calls writes text to the control socket at once and reads n answers.
func (h *host) calls(n int, text string) []object {
	h.t.Helper()
	conn := h.dialControl()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		h.t.Fatal(err)
	}
	answers := make([]object, n)
	d := json.NewDecoder(conn)
	for i := range answers {
		if err := d.Decode(&answers[i]); err != nil {
			h.t.Fatalf("answer %d to %q: %v", i, text, err)
		}
	}
	return answers
}

func (h *host) dialControl() net.Conn {
	h.t.Helper()
	conn, err := net.Dial("unix", h.socket())
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func (h *host) status() object {
	h.t.Helper()
	return h.call(`{"command":"status"}`)
}

func (h *host) statusText() string {
	conn, err := net.Dial("unix", h.socket())
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	io.WriteString(conn, `{"command":"status"}`+"\n")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

// releases is the listed releases by id, the newest generation of each.
func (h *host) releases() map[string]object {
	h.t.Helper()
	byID := map[string]object{}
	for _, r := range h.status()["releases"].([]any) {
		r := r.(object)
		byID[r["releaseId"].(string)] = r
	}
	return byID
}

// states is "id state" of the listed releases, in order.
func (h *host) states() []string {
	h.t.Helper()
	var states []string
	for _, r := range h.status()["releases"].([]any) {
		r := r.(object)
		states = append(states, r["releaseId"].(string)+" "+r["state"].(string))
	}
	return states
}

// awaitState waits until a release is in a state.
func (h *host) awaitState(id, state string) {
	h.t.Helper()
	h.eventually(id+" "+state, func() bool { return h.releases()[id]["state"] == state })
}

// process finds a process by instance id: of the active release, a service or a
// singleton.
func (h *host) process(id string) object {
	h.t.Helper()
	return processIn(h.t, h.status(), id)
}

func processIn(t *testing.T, status object, id string) object {
	t.Helper()
	var all []any
	for _, r := range status["releases"].([]any) {
		if r := r.(object); r["state"] == "active" {
			all = append(all, r["processes"].([]any)...)
		}
	}
	for _, list := range []string{"services", "singletons"} {
		for _, owned := range status[list].([]any) {
			all = append(all, owned.(object)["process"])
		}
	}
	for _, p := range all {
		if p.(object)["id"] == id {
			return p.(object)
		}
	}
	t.Fatalf("no process %s in %v", id, all)
	return nil
}

// releaseProcess finds a process of one release.
func (h *host) releaseProcess(release, id string) object {
	h.t.Helper()
	for _, p := range h.releases()[release]["processes"].([]any) {
		if p.(object)["id"] == id {
			return p.(object)
		}
	}
	h.t.Fatalf("release %s has no process %s", release, id)
	return nil
}

func pid(p object) int {
	n, _ := p["pid"].(float64)
	return int(n)
}

// kill sends a signal to a process by id.
func (h *host) kill(id string, sig syscall.Signal) {
	h.t.Helper()
	if err := syscall.Kill(pid(h.process(id)), sig); err != nil {
		h.t.Fatal(err)
	}
}

// addr is where the proxy listens.
func (h *host) addr() string {
	h.t.Helper()
	return fmt.Sprintf("127.0.0.1:%v", h.status()["proxy"].(object)["port"])
}

// get asks the proxy and returns status and body.
func (h *host) get(path string) (int, string) {
	h.t.Helper()
	return get(h.t, "http://"+h.addr()+path)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// websocket opens a WebSocket through the proxy.
func (h *host) websocket() *websocket.Conn {
	h.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+h.addr()+"/ws", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

// echo sends a message and returns the answer.
func echo(t *testing.T, conn *websocket.Conn, text string) string {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_, data, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// diary is the lines the workers wrote, without process ids.
func (h *host) diary() []string {
	b, _ := os.ReadFile(h.path("diary"))
	var lines []string
	for line := range strings.Lines(string(b)) {
		what, _, _ := strings.Cut(strings.TrimSpace(line), " #")
		lines = append(lines, what)
	}
	return lines
}

// awaitDiary waits until the diary has a line.
func (h *host) awaitDiary(line string) {
	h.t.Helper()
	h.eventually("the diary says "+line, func() bool { return slices.Contains(h.diary(), line) })
}

// awaitExit waits for the end of the daemon and returns its exit code.
func (h *host) awaitExit() int {
	h.t.Helper()
	select {
	case <-h.exited:
	case <-time.After(patience):
		h.t.Fatalf("the daemon does not end; events %v", h.messages())
	}
	return h.cmd.ProcessState.ExitCode()
}

// cleanup ends the daemon and fails the test for whatever is left running.
func (h *host) cleanup() {
	if h.cmd != nil {
		h.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-h.exited:
		case <-time.After(patience):
			h.t.Errorf("the daemon does not end; events %v", h.messages())
			h.cmd.Process.Kill()
			<-h.exited
		}
		if text := h.stderr.String(); strings.Contains(text, "panic:") || strings.Contains(text, "DATA RACE") {
			h.t.Errorf("the daemon said %s", text)
		}
	}
	for pid, command := range h.left() {
		h.t.Errorf("left running: pid %d, %s", pid, command)
		syscall.Kill(pid, syscall.SIGKILL)
	}
	os.RemoveAll(h.dir)
}

// left is the processes that carry this host's mark, zombies not counted.
func (h *host) left() map[int]string {
	left := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		environ, _ := os.ReadFile(dir + "/environ")
		if !bytes.Contains(environ, []byte("\x00MARK="+h.dir+"\x00")) && !bytes.HasSuffix(environ, []byte("MARK="+h.dir)) {
			continue
		}
		var pid int
		fmt.Sscanf(filepath.Base(dir), "%d", &pid)
		command, _ := os.ReadFile(dir + "/cmdline")
		if pid != os.Getpid() && len(command) > 0 {
			left[pid] = string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
		}
	}
	return left
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// has checks fields of an object.
func has(t *testing.T, what string, got, want object) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if fmt.Sprint(got[key]) != fmt.Sprint(want[key]) {
			t.Errorf("%s: %s is %v, want %v", what, key, got[key], want[key])
		}
	}
}
