package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// startShop serves a web process and says where; stop tells it to end, and
// ended gets what it ended with.
func startShop(t *testing.T, healthy bool) (addr string, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	l := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := &shop{release: "7", healthy: healthy, stop: ctx}
	go func() { done <- s.serve(l) }()
	t.Cleanup(stop)
	return l.Addr().String(), stop, done
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startBroker runs a broker and points the environment to it.
func startBroker(t *testing.T) *broker {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	b, done := newBroker(), make(chan error, 1)
	go func() { done <- b.serve(ctx, l) }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	t.Setenv("ROLLBRIDGE_BROKER_PORT", port)
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func connect(t *testing.T) *queue {
	t.Helper()
	q, err := dialBroker(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func fetch(t *testing.T, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestEveryAnswerNamesItsRelease(t *testing.T) {
	addr, _, _ := startShop(t, true)
	for _, path := range []string{"/", "/ping", "/release", "/slow?ms=1", "/stream?ms=1", "/big?bytes=10", "/nowhere"} {
		resp, _ := fetch(t, "GET", "http://"+addr+path, nil)
		if got := resp.Header.Get("X-Release"); got != "7" {
			t.Errorf("%s: X-Release is %q", path, got)
		}
	}
	if _, body := fetch(t, "GET", "http://"+addr+"/release", nil); body != "7\n" {
		t.Errorf("release: %q", body)
	}
}

func TestBrokenReleaseIsUnhealthy(t *testing.T) {
	addr, _, _ := startShop(t, false)
	if resp, _ := fetch(t, "GET", "http://"+addr+"/ping", nil); resp.StatusCode != 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestCrashingReleaseDoesNotStart(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("BROKEN", []byte("crash\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := runWeb(t.Context()); err == nil {
		t.Error("it ran and ended well")
	}
}

func TestEchoAnswersTheWayItWasAsked(t *testing.T) {
	addr, _, _ := startShop(t, true)
	body := strings.Repeat("0123456789", 5000)
	resp, got := fetch(t, "POST", "http://"+addr+"/echo", strings.NewReader(body))
	if got != body || resp.ContentLength != int64(len(body)) {
		t.Errorf("sized: %d bytes, length %d", len(got), resp.ContentLength)
	}
	unsized := io.MultiReader(strings.NewReader(body))
	resp, got = fetch(t, "POST", "http://"+addr+"/echo", unsized)
	if got != body || resp.ContentLength != -1 {
		t.Errorf("chunked: %d bytes, length %d", len(got), resp.ContentLength)
	}
}

func TestBigHasItsDigest(t *testing.T) {
	addr, _, _ := startShop(t, true)
	resp, body := fetch(t, "GET", "http://"+addr+"/big?bytes=100000", nil)
	sum := sha256.Sum256([]byte(body))
	want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	if len(body) != 100000 || resp.Header.Get("Content-Digest") != want {
		t.Errorf("%d bytes, digest %s, want %s", len(body), resp.Header.Get("Content-Digest"), want)
	}
}

func TestUploadIsAnsweredWithItsDigest(t *testing.T) {
	addr, _, _ := startShop(t, true)
	body := strings.Repeat("0123456789", 50_000)
	sum := sha256.Sum256([]byte(body))
	want := "500000 bytes sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":\n"
	for _, r := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} {
		if _, got := fetch(t, "POST", "http://"+addr+"/upload", r); got != want {
			t.Errorf("answered %q, want %q", got, want)
		}
	}
}

func TestRequestIsShownAsItArrived(t *testing.T) {
	addr, _, _ := startShop(t, true)
	_, got := fetch(t, "GET", "http://"+addr+"/request?a=b", nil)
	if want := "GET /request?a=b HTTP/1.1\nHost: " + addr + "\n"; !strings.HasPrefix(got, want) || !strings.Contains(got, "User-Agent: ") {
		t.Errorf("%q does not begin with %q, or has no headers", got, want)
	}
}

func TestSocketIsRefusedToAPageFromElsewhere(t *testing.T) {
	addr, _, _ := startShop(t, true)
	for origin, want := range map[string]int{"http://" + addr: 101, "http://elsewhere.example": 403} {
		conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", http.Header{"Origin": {origin}})
		if err == nil {
			conn.Close()
		}
		if resp.StatusCode != want {
			t.Errorf("from %s: status %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

func TestStreamComesInParts(t *testing.T) {
	addr, _, _ := startShop(t, true)
	resp, err := http.Get("http://" + addr + "/stream?parts=2&ms=5000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 100)
	n, err := resp.Body.Read(first) // returns long before the second part is due
	if err != nil || !bytes.HasPrefix(first[:n], []byte("data: part 0 of release 7")) {
		t.Errorf("%q %v", first[:n], err)
	}
}

func TestStoppedShopFinishesItsRequests(t *testing.T) {
	addr, stop, ended := startShop(t, true)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /stream?parts=3&ms=200 HTTP/1.0\r\n\r\n")
	conn.Read(make([]byte, 1)) // the answer has begun
	stop()
	rest, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(rest, []byte("data: end")) {
		t.Errorf("%q %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSocketAnnouncesEchoesAndSaysGoodbye(t *testing.T) {
	addr, stop, ended := startShop(t, true)
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, hello, _ := conn.ReadMessage(); string(hello) != "release 7" {
		t.Errorf("announcement %q", hello)
	}
	conn.WriteMessage(websocket.BinaryMessage, []byte("hi"))
	if kind, back, _ := conn.ReadMessage(); kind != websocket.BinaryMessage || string(back) != "hi" {
		t.Errorf("echo %d %q", kind, back)
	}
	stop()
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("ended with %v, want a Close frame", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOrderReachesTheWorker(t *testing.T) {
	startBroker(t)
	addr, _, _ := startShop(t, true)
	if resp, body := fetch(t, "POST", "http://"+addr+"/order", nil); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if job, ok, err := connect(t).get(t.Context()); job != "order of release 7" || !ok || err != nil {
		t.Errorf("%q %v %v", job, ok, err)
	}
	if _, body := fetch(t, "GET", "http://"+addr+"/stats", nil); body != "STATS put=1 done=0 lost=0\n" {
		t.Errorf("stats: %q", body)
	}
}

func TestStoppedWorkerFinishesItsJob(t *testing.T) {
	b := startBroker(t)
	if err := connect(t).put("long one"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	q := connect(t)
	ended := make(chan error, 1)
	go func() { ended <- work(ctx, q, 300*time.Millisecond) }()
	for len(b.jobs) > 0 {
		time.Sleep(time.Millisecond)
	}
	stop() // in the middle of the job
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if b.done.Load() != 1 || b.lost.Load() != 0 {
		t.Errorf("done %d, lost %d", b.done.Load(), b.lost.Load())
	}
}

func TestIdleWorkerStopsAtOnce(t *testing.T) {
	startBroker(t)
	ctx, stop := context.WithCancel(t.Context())
	q := connect(t)
	ended := make(chan error, 1)
	go func() { ended <- work(ctx, q, time.Hour) }()
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits for a job")
	}
}

func TestJobOfAWorkerThatDiesIsGivenToAnother(t *testing.T) {
	b := startBroker(t)
	if err := connect(t).put("job"); err != nil {
		t.Fatal(err)
	}
	first := connect(t)
	if _, ok, err := first.get(t.Context()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	first.Close()
	if job, ok, err := connect(t).get(t.Context()); job != "job" || !ok || err != nil {
		t.Errorf("%q %v %v", job, ok, err)
	}
	if b.lost.Load() != 1 {
		t.Errorf("lost %d", b.lost.Load())
	}
}

func TestBrokerRefusesNonsense(t *testing.T) {
	startBroker(t)
	q := connect(t)
	for _, line := range []string{"PUT", "DONE", "", "HELLO"} {
		if answer, err := q.ask(line); err == nil {
			t.Errorf("%q was answered %q", line, answer)
		}
	}
}

func TestSecondSchedulerIsRefusedAndRecorded(t *testing.T) {
	dir := t.TempDir()
	first, err := claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim(dir); err == nil {
		t.Error("two schedulers run")
	}
	text, err := os.ReadFile(filepath.Join(dir, violationsFile))
	if err != nil || !strings.Contains(string(text), "found another scheduler") {
		t.Errorf("record: %q %v", text, err)
	}
	first.Close()
	third, err := claim(dir)
	if err != nil {
		t.Fatalf("the lock outlives its holder: %v", err)
	}
	third.Close()
}

func TestSchedulerPutsJobs(t *testing.T) {
	startBroker(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	q := connect(t)
	go func() { ended <- schedule(ctx, q, time.Millisecond) }()
	if job, ok, err := connect(t).get(t.Context()); !ok || err != nil || !strings.HasPrefix(job, "report-") {
		t.Errorf("%q %v %v", job, ok, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
