package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollbridge/proxy"
	"rollbridge/supervisor/config"
)

// world is a supervisor in a bubble, with processes that are only played.
type world struct {
	*Supervisor
	t      *testing.T
	host   *fakeHost
	runner *fakeRunner // of the daemon that runs now
	boot   string
	dir    string // a directory that can be deployed

	mu     sync.Mutex
	source string           // the configuration file
	health map[string]error // by release id: what its health check answers; nil is healthy

	diskErr error // of every change of a file
}

const shop = `
application: shop
proxy: {port: 0, drainTimeoutMs: 5000}
processes:
  - {id: web, policy: proxied, command: web, port: 0}
  - {id: mailer, command: mailer}
  - {id: clock, policy: singleton, command: clock}
  - {id: broker, policy: service, command: broker, port: 0}
  - {id: cable, policy: service, deployStrategy: handoff, command: cable, port: {from: 41000, to: 41999}}
`

// inBubble runs a test with a supervisor on played processes and played time.
func inBubble(t *testing.T, source string, test func(*testing.T, *world)) {
	t.Helper()
	inWorld(t, source, func(t *testing.T, w *world) {
		w.start(StatePaths{})
		test(t, w)
	})
}

// inWorld runs a test in a bubble in which no supervisor has been started yet.
func inWorld(t *testing.T, source string, test func(*testing.T, *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, host: newFakeHost(), source: source, health: map[string]error{}, dir: dir, boot: "boot 1"}
		test(t, w)
		w.kill(errors.New("the test is over"))
		w.Shutdown(context.Background())
		w.state.stop()
	})
}

// start starts a daemon that remembers what it does in these places.
func (w *world) start(places StatePaths) {
	w.t.Helper()
	cfg, err := w.load()
	if err != nil {
		w.t.Fatal(err)
	}
	w.runner = &fakeRunner{w.host, newFakeDaemon()}
	w.Supervisor = New(Options{
		Config: cfg, Load: w.load, Parse: parseShop, Runner: w.runner, Proxy: proxy.New(proxy.Options{}),
		Listening: []net.Addr{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8182}}, Log: slog.New(slog.DiscardHandler),
		Probe: w.probe, State: places, BootID: w.boot, disk: w.diskOf(w.runner.daemon),
	})
}

func parseShop(source []byte) (*config.Config, error) {
	cfg, problems := config.Parse("/srv/shop/rollbridge.yaml", source, config.Options{UID: 1000})
	if len(problems) > 0 {
		return nil, problems
	}
	return cfg, nil
}

func (w *world) load() (*config.Config, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return parseShop([]byte(w.source))
}

// edit replaces text in the configuration file.
func (w *world) edit(from, to string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(w.source, from) {
		w.t.Fatalf("the configuration does not contain %q", from)
	}
	w.source = strings.ReplaceAll(w.source, from, to)
}

// setHealth says what the health check of a release answers from now on.
func (w *world) setHealth(id string, answer error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.health[id] = answer
}

// errSilent is the answer of a server that accepts and stays silent.
var errSilent = errors.New("silent")

func (w *world) probe(ctx context.Context, _ string) error {
	w.Supervisor.mu.Lock()
	r := w.starting
	if r == nil {
		r = w.active
	}
	w.Supervisor.mu.Unlock()
	w.mu.Lock()
	var err error
	if r != nil {
		err = w.health[r.id]
	}
	w.mu.Unlock()
	if errors.Is(err, errSilent) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (w *world) deploy(id string) (DeployResult, error) {
	return w.Deploy(context.Background(), DeployArgs{ReleasePath: w.dir, ReleaseID: id}, func(any) {})
}

// mustDeploy deploys and forgets what the diary says of it.
func (w *world) mustDeploy(id string) {
	w.t.Helper()
	if _, err := w.deploy(id); err != nil {
		w.t.Fatalf("deploy %s: %v", id, err)
	}
}

// settle lets everything in the background come to rest, without time passing.
func (w *world) settle() { synctest.Wait() }

// states is the listed releases, "v1 draining".
func (w *world) states() []string {
	var states []string
	for _, r := range w.status().Releases {
		states = append(states, r.ReleaseID+" "+r.State)
	}
	return states
}

// messages is the events so far.
func (w *world) messages() []string {
	events, _, _ := w.events.since(0)
	messages := make([]string, len(events))
	for i, e := range events {
		messages[i] = e.Message
	}
	return messages
}

// release is the listed release of that id, the newest generation.
func (w *world) release(id string) *release {
	w.t.Helper()
	w.Supervisor.mu.Lock()
	defer w.Supervisor.mu.Unlock()
	for _, r := range slices.Backward(w.releases) {
		if r.id == id {
			return r
		}
	}
	w.t.Fatalf("release %s is not listed; there are %v", id, slices.Sorted(maps.Keys(w.generations)))
	return nil
}

// openRequest counts a request as open on a release until it is closed.
func (w *world) openRequest(id string) (done func()) {
	return w.release(id).upstream.Retain("test")
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not contain %q", text, part)
		}
	}
}

const moment = time.Millisecond
