package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMalformedLinesGetTheirErrors(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho().listen()
	w := d.dial()
	for _, row := range []struct{ line, message, code string }{
		{``, `Unexpected end of JSON input`, CodeInvalid},
		{`   `, `Unexpected end of JSON input`, CodeInvalid},
		{"\r", `Unexpected end of JSON input`, CodeInvalid},
		{`{"command":`, `Unexpected end of JSON input`, CodeInvalid},
		{`this is not json`, `JSON`, CodeInvalid},
		{`{"command":"status"} x`, `JSON`, CodeInvalid},
		{strings.Repeat("[", 20000), `JSON`, CodeInvalid},
		{"\x00\xff", `JSON`, CodeInvalid},
		{`123`, `Control command must be an object`, CodeInvalid},
		{`"status"`, `Control command must be an object`, CodeInvalid},
		{`null`, `Control command must be an object`, CodeInvalid},
		{`true`, `Control command must be an object`, CodeInvalid},
		{`[]`, `Unknown command: undefined`, CodeUnknown},
		{`["status"]`, `Unknown command: undefined`, CodeUnknown},
		{`{}`, `Unknown command: undefined`, CodeUnknown},
		{`{"Command":"status"}`, `Unknown command: undefined`, CodeUnknown},
		{`{"command":"bogus"}`, `Unknown command: bogus`, CodeUnknown},
		{`{"command":""}`, `Unknown command: `, CodeUnknown},
		{`{"command":5}`, `Unknown command: 5`, CodeUnknown},
		{`{"command":null}`, `Unknown command: null`, CodeUnknown},
		{`{"command":{}}`, `Unknown command: [object Object]`, CodeUnknown},
		{`{"command":"` + strings.Repeat("é", 500) + `"}`, `Unknown command: ` + strings.Repeat("é", 50) + `…`, CodeUnknown},
		{`{"command":"echo","text":5}`, `Expected string value`, CodeInvalid},
		{`{"command":"echo","text":null}`, `Expected string value`, CodeInvalid},
		{`{"command":"echo","text":{}}`, `Expected string value`, CodeInvalid},
		{`{"command":"echo","ptr":1}`, `Expected string value`, CodeInvalid},
		{`{"command":"echo","n":"5"}`, `Expected number value`, CodeInvalid},
		{`{"command":"echo","i":true}`, `Expected number value`, CodeInvalid},
		{`{"command":"echo","i":1.5}`, `Expected integer value`, CodeInvalid},
		{`{"command":"echo","i":99999999999999999999}`, `Expected integer value`, CodeInvalid},
		{`{"command":"echo","flag":"yes"}`, `Expected boolean value`, CodeInvalid},
		{`{"command":"echo","list":"a"}`, `Expected array value`, CodeInvalid},
		{`{"command":"status","progress":1}`, `Expected boolean value`, CodeInvalid},
		{`{"command":"status","id":{}}`, `id must be a string or a number`, CodeInvalid},
		{`{"command":"status","id":"` + strings.Repeat("x", 300) + `"}`, `id must have at most 256 bytes`, CodeInvalid},
	} {
		answer := parsed(t, w.ask(row.line))
		message, _ := answer["error"].(string)
		exact := row.message != "JSON"
		if answer["status"] != "error" || answer["code"] != row.code ||
			exact && message != row.message || !strings.Contains(message, row.message) {
			t.Errorf("%.60q: %v", row.line, answer)
		}
	}
	if told, _ := d.told(); !strings.Contains(told, "\necho: Expected string value") {
		t.Errorf("errors were not reported:\n%s", told)
	}
}

func TestUnknownFieldsAndOtherSpellingsAreIgnored(t *testing.T) {
	w := newDaemon(t, Options{}).addEcho().listen().dial()
	got := w.ask(`{"command":"echo","text":"a<b> & é","TEXT":5,"more":{"text":1},"ptr":null}` + "\r")
	if got != `{"status":"success","text":"a<b> & é"}` {
		t.Error(got)
	}
}

func TestAnswersAreExact(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	Handle(d.Mux, "nothing", func(context.Context, none, func(any)) (none, error) { return none{}, nil })
	Handle(d.Mux, "busy", func(context.Context, none, func(any)) (none, error) {
		return none{}, &Error{Code: CodeBusy, Message: "a deploy is under way", Hint: "wait"}
	})
	Handle(d.Mux, "wrapped", func(context.Context, none, func(any)) (none, error) {
		return none{}, fmt.Errorf("deploy v1: %w", &Error{Code: "unhealthy", Message: "no answer"})
	})
	Handle(d.Mux, "fails", func(context.Context, none, func(any)) (none, error) { return none{}, io.ErrUnexpectedEOF })
	Handle(d.Mux, "steps", func(_ context.Context, _ none, progress func(any)) (none, error) {
		progress(map[string]int{"n": 1})
		progress(nil)
		progress(math.NaN())
		return none{}, nil
	})
	w := d.listen().dial()
	for line, want := range map[string]string{
		`{"command":"nothing"}`:                `{"status":"success"}`,
		`{"command":"nothing","id":7}`:         `{"status":"success","id":7}`,
		`{"command":"echo","id":"a\n","x":1}`:  `{"status":"success","id":"a\n","text":""}`,
		`{"command":"echo","id":1e400}`:        `{"status":"success","id":1e400,"text":""}`,
		`{"command":"echo","id":null}`:         `{"status":"success","text":""}`,
		`{"command":"busy","id":-1}`:           `{"error":"a deploy is under way","status":"error","id":-1,"code":"busy","hint":"wait"}`,
		`{"command":"wrapped"}`:                `{"error":"deploy v1: no answer","status":"error","code":"unhealthy"}`,
		`{"command":"fails"}`:                  `{"error":"unexpected EOF","status":"error","code":"failed"}`,
		`{"command":"nope","id":1}`:            `{"error":"Unknown command: nope","status":"error","id":1,"code":"unknown"}`,
		`{"command":"steps"}`:                  `{"status":"success"}`,
		`{"command":"steps","progress":false}`: `{"status":"success"}`,
	} {
		if got := w.ask(line); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
	w.send(`{"command":"steps","progress":true,"id":"p"}` + "\n")
	for _, want := range []string{
		`{"status":"progress","id":"p","progress":{"n":1}}`,
		`{"status":"progress","id":"p","progress":null}`,
		`{"status":"progress","id":"p","progress":{"error":"json: unsupported value: NaN"}}`,
		`{"status":"success","id":"p"}`,
	} {
		if got := w.line(); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

func TestPanicIsAnsweredAndReported(t *testing.T) {
	d := newDaemon(t, Options{})
	Handle(d.Mux, "panic", func(context.Context, none, func(any)) (none, error) { panic("oh") })
	Handle(d.Mux, "list", func(context.Context, none, func(any)) ([]int, error) { return nil, nil })
	Handle(d.Mux, "nan", func(context.Context, none, func(any)) (map[string]float64, error) {
		return map[string]float64{"x": math.NaN()}, nil
	})
	Handle(d.Mux, "marshaler", func(context.Context, none, func(any)) (*panicking, error) { return new(panicking), nil })
	w := d.listen().dial()
	for _, command := range []string{"panic", "list", "nan", "marshaler"} {
		answer := parsed(t, w.ask(lineOf(command, "")))
		if answer["code"] != CodeInternal || !strings.HasPrefix(answer["error"].(string), "internal error: ") {
			t.Errorf("%s: %v", command, answer)
		}
		if told, _ := d.told(); !strings.Contains(told, command+": internal error") {
			t.Errorf("%s is not reported: %s", command, told)
		}
	}
}

type panicking struct{}

func (*panicking) MarshalJSON() ([]byte, error) { panic("while marshalling") }

func TestLinesAreHandledAtOnceAndAnsweredAsTheyEnd(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	began, end := d.addBlock()
	w := d.listen().dial()
	w.send(lineOf("block", `,"id":1`) + "\n" + lineOf("echo", `,"id":2`) + "\n")
	if got := w.line(); got != `{"status":"success","id":2,"text":""}` {
		t.Error(got)
	}
	receive(t, "the first command runs", began)
	close(end)
	if got := w.line(); got != `{"status":"success","id":1}` {
		t.Error(got)
	}
}

func TestBytesMayArriveOneByOneAndTheLastPartIsIgnored(t *testing.T) {
	w := newDaemon(t, Options{}).addEcho().listen().dial()
	for _, b := range []byte(lineOf("echo", `,"text":"slow"`) + "\r\n" + lineOf("status", "")) {
		w.send(string(b))
	}
	w.CloseWrite()
	if got := w.line(); got != `{"status":"success","text":"slow"}` {
		t.Error(got)
	}
	w.ends()
}

func TestClientThatEndsItsHalfGetsItsAnswer(t *testing.T) {
	d := newDaemon(t, Options{})
	began, end := d.addBlock()
	w := d.listen().dial()
	w.send(lineOf("block", "") + "\n")
	w.CloseWrite()
	ctx := receive(t, "the command runs", began)
	if isGone(ctx) {
		t.Error("the client counts as gone")
	}
	close(end)
	if got := w.line(); got != `{"status":"success"}` {
		t.Error(got)
	}
	w.ends()
}

func TestClientThatLeavesCancelsNothing(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	began, end := d.addBlock()
	d.listen()
	for _, leave := range []func(w *wire){
		func(w *wire) { w.Close() },
		func(w *wire) { w.CloseWrite(); w.Close() },
		func(w *wire) { w.send(`{"half`); w.Close() },
		func(w *wire) { w.send(lineOf("status", "") + "\n"); w.in.Peek(1); w.Close() }, // an answer unread
	} {
		w := d.dial()
		w.send(lineOf("block", "") + "\n")
		ctx := receive(t, "the command runs", began)
		leave(w)
		receive(t, "the command learns of it", Gone(ctx))
		if ctx.Err() != nil {
			t.Error("the command was cancelled")
		}
		end <- struct{}{}
	}
	if got := d.dial().ask(lineOf("echo", "")); got != `{"status":"success","text":""}` {
		t.Error(got)
	}
}

func TestKilledClientIsNoticed(t *testing.T) {
	if os.Getenv("CONTROL_TEST_CLIENT") != "" {
		c, err := Dial(context.Background(), os.Getenv("CONTROL_TEST_CLIENT"))
		if err != nil {
			t.Fatal(err)
		}
		Call[none](context.Background(), c, "block", nil, nil)
		return
	}
	d := newDaemon(t, Options{})
	began, end := d.addBlock()
	defer close(end)
	d.listen()
	client := exec.Command(os.Args[0], "-test.run=^TestKilledClientIsNoticed$")
	client.Env = append(os.Environ(), "CONTROL_TEST_CLIENT="+d.path)
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := receive(t, "the command runs", began)
	if peer := PeerOf(ctx); peer != (Peer{UID: os.Getuid(), GID: os.Getgid(), PID: client.Process.Pid}) {
		t.Errorf("peer %+v", peer)
	}
	client.Process.Kill()
	client.Wait()
	receive(t, "the command learns of it", Gone(ctx))
}

func TestOutsideOfACommandNobodyAsks(t *testing.T) {
	if peer := PeerOf(context.Background()); peer.UID != -1 || peer.GID != -1 {
		t.Errorf("peer %+v", peer)
	}
	if Gone(context.Background()) != nil {
		t.Error("somebody is gone")
	}
}

func TestLongLineGetsOneErrorAndEndsTheConnection(t *testing.T) {
	d := newDaemon(t, Options{MaxLine: 1000}).addEcho()
	began, end := d.addBlock()
	d.listen()
	fits := lineOf("echo", `,"text":"%s"`, strings.Repeat("x", 1000-len(`{"command":"echo","text":""}`)))
	if got := d.dial().ask(fits); !strings.HasPrefix(got, `{"status":"success"`) {
		t.Errorf("1000 bytes: %s", got)
	}
	for _, rest := range []string{" \n", " \n" + fits + "\n", strings.Repeat("y", 20<<20) + "\n"} {
		w := d.dial()
		w.send(lineOf("block", "") + "\n")
		receive(t, "the command runs", began)
		w.send(fits + rest)
		answer := parsed(t, w.line())
		if answer["error"] != "Control line is longer than 1000 bytes" || answer["code"] != CodeInvalid {
			t.Errorf("got %v", answer)
		}
		end <- struct{}{} // what already runs is still answered
		if got := w.line(); got != `{"status":"success"}` {
			t.Error(got)
		}
		w.ends()
	}
}

func TestLineLimitIsAMebibyte(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho().listen()
	w := d.dial()
	got := w.ask(lineOf("echo", `,"text":"%s"`, strings.Repeat("x", 1<<20-100)))
	if len(got) < 1<<20-100 {
		t.Errorf("answer of %d bytes", len(got))
	}
	if got := w.ask(strings.Repeat("x", 1<<20+1)); !strings.Contains(got, "longer than 1048576 bytes") {
		t.Error(got)
	}
}

func TestOneConnectionTooManyIsBusy(t *testing.T) {
	d := newDaemon(t, Options{MaxConns: 256}).addEcho().listen()
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	var wires []*wire
	for range 300 {
		wires = append(wires, d.dial())
	}
	for _, w := range wires {
		all.Go(func() {
			io.WriteString(w, lineOf("status", "")+"\n") // may be too late
			line, _ := w.in.ReadString('\n')
			word := "nothing"
			for _, s := range []string{`"status":"success"`, `"code":"busy"`} {
				if strings.Contains(line, s) {
					word = s
				}
			}
			mu.Lock()
			defer mu.Unlock()
			answers[word]++
		})
	}
	within(t, "all have their answers", all.Wait)
	if answers[`"status":"success"`] != 256 || answers[`"code":"busy"`] != 44 {
		t.Errorf("answers: %v", answers)
	}
	for _, w := range wires {
		w.Close()
	}
	eventually(t, "there is room again", func() bool {
		c, err := Dial(context.Background(), d.path)
		if err != nil {
			return false
		}
		defer c.Close()
		_, _, err = Call[none](context.Background(), c, "status", nil, nil)
		return err == nil
	})
}

func TestCommandsAtOnceAreLimited(t *testing.T) {
	d := newDaemon(t, Options{MaxInFlight: 3})
	began, end := d.addBlock()
	w := d.listen().dial()
	w.send(strings.Repeat(lineOf("block", "")+"\n", 8))
	for range 3 {
		receive(t, "three commands run", began)
	}
	select {
	case <-began:
		t.Error("a fourth command runs")
	case <-time.After(50 * time.Millisecond):
	}
	for range 5 {
		end <- struct{}{}
		receive(t, "the next command runs", began)
	}
	close(end)
	for range 8 {
		if got := w.line(); got != `{"status":"success"}` {
			t.Error(got)
		}
	}
}

func TestClientIsMissedEvenWhenNoFurtherLineIsRead(t *testing.T) {
	d := newDaemon(t, Options{MaxInFlight: 2})
	left := d.addFollow()
	w := d.listen().dial()
	w.send(strings.Repeat(lineOf("follow", "")+"\n", 5))
	w.Close()
	for range 2 {
		receive(t, "a follower ends", left)
	}
}

func TestClientThatDoesNotReadLosesItsConnectionOnly(t *testing.T) {
	d := newDaemon(t, Options{WriteTimeout: 100 * time.Millisecond}).addEcho()
	left := d.addFollow()
	d.listen()
	slow, healthy := d.dial(), d.dial()
	slow.send(lineOf("follow", `,"n":100000,"size":1000,"progress":true`) + "\n")
	if sent := receive(t, "the follower ends", left); sent == 100000 {
		t.Error("all was sent to nobody")
	}
	if got := healthy.ask(lineOf("echo", "")); got != `{"status":"success","text":""}` {
		t.Error(got)
	}
	eventually(t, "it is reported", func() bool {
		_, told := d.told()
		return strings.Contains(told, "client did not read for 100ms")
	})
}

func TestClientThatReadsLateGetsEverything(t *testing.T) {
	d := newDaemon(t, Options{})
	left := d.addFollow()
	w := d.listen().dial()
	w.send(lineOf("follow", `,"n":3000,"size":1000,"progress":true`) + "\n")
	for n := range 3000 {
		if got := w.line(); !strings.HasPrefix(got, fmt.Sprintf(`{"status":"progress","progress":{"n":%d,`, n)) {
			t.Fatalf("step %d: %.60s", n, got)
		}
	}
	w.Close()
	receive(t, "the follower ends", left)
}

func TestPipelinedAnswersWaitForTheReader(t *testing.T) {
	w := newDaemon(t, Options{}).addEcho().listen().dial()
	const n = 2000
	text := strings.Repeat("x", 2000)
	go func() {
		for range n {
			io.WriteString(w, lineOf("echo", `,"text":"%s"`, text)+"\n")
		}
	}()
	for range n {
		if got := w.line(); len(got) < len(text) {
			t.Fatal(got)
		}
	}
}

// pipes is a listener of connections that know synctest's clock.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.accept:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// inBubble runs f with a daemon that has one client and a fake clock.
func inBubble(t *testing.T, f func(d *daemon, client net.Conn, lasted func() time.Duration)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, Options{}).addEcho()
		Handle(d.Mux, "long", func(context.Context, none, func(any)) (none, error) {
			time.Sleep(time.Hour)
			return none{}, nil
		})
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		go d.Serve(l)
		client, server := net.Pipe()
		l.accept <- server
		began := time.Now()
		f(d, client, func() time.Duration {
			io.Copy(io.Discard, client)
			return time.Since(began)
		})
		client.Close()
		d.Close(context.Background())
		d.Wait()
	})
}

func TestSilentConnectionIsClosed(t *testing.T) {
	inBubble(t, func(_ *daemon, client net.Conn, lasted func() time.Duration) {
		if d := lasted(); d != time.Minute {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestHalfALineIsNotWaitedForWithoutEnd(t *testing.T) {
	inBubble(t, func(_ *daemon, client net.Conn, lasted func() time.Duration) {
		var trickle sync.WaitGroup
		trickle.Go(func() {
			for _, err := io.WriteString(client, "{"); err == nil; _, err = io.WriteString(client, " ") {
				time.Sleep(time.Second)
			}
		})
		if d := lasted(); d != time.Minute {
			t.Errorf("closed after %v", d)
		}
		trickle.Wait()
	})
}

func TestConnectionMayRestBetweenCommands(t *testing.T) {
	inBubble(t, func(_ *daemon, client net.Conn, lasted func() time.Duration) {
		for range 3 {
			go io.WriteString(client, lineOf("status", "")+"\n")
			client.Read(make([]byte, 1000))
			time.Sleep(14 * time.Minute)
		}
		go io.WriteString(client, lineOf("status", "")+"\n")
		if d := lasted(); d != 3*14*time.Minute+15*time.Minute {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestSecondLineHasItsOwnClock(t *testing.T) {
	inBubble(t, func(_ *daemon, client net.Conn, lasted func() time.Duration) {
		go io.WriteString(client, lineOf("status", "")+"\n")
		client.Read(make([]byte, 1000))
		time.Sleep(10 * time.Minute)
		go io.WriteString(client, "{")
		if d := lasted(); d != 11*time.Minute {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestConnectionWithACommandUnderWayIsNotClosed(t *testing.T) {
	inBubble(t, func(_ *daemon, client net.Conn, lasted func() time.Duration) {
		go io.WriteString(client, lineOf("long", "")+"\n{")
		if d := lasted(); d != time.Hour+time.Minute {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestAcceptErrorsAreSurvived(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	real, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(&flaky{Listener: real, fail: 3}) }()
	if got := d.dial().ask(lineOf("echo", "")); got != `{"status":"success","text":""}` {
		t.Error(got)
	}
	if _, told := d.told(); strings.Count(told, "too many open files") != 3 {
		t.Errorf("told: %s", told)
	}
	d.Close(context.Background())
	within(t, "the daemon ends", d.Wait)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

type flaky struct {
	net.Listener
	fail int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.fail--; f.fail >= 0 {
		return nil, errors.New("accept4: too many open files")
	}
	return f.Listener.Accept()
}

func TestBrokenListenerEndsServe(t *testing.T) {
	d := newDaemon(t, Options{})
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := d.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestRegistrationMistakesAreLoud(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	for what, f := range map[string]func(){
		"twice": func() {
			Handle(d.Mux, "echo", func(context.Context, none, func(any)) (none, error) { return none{}, nil })
		},
		"no struct": func() {
			Handle(d.Mux, "x", func(context.Context, string, func(any)) (none, error) { return none{}, nil })
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}
