package control

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
)

// addShutdown adds `shutdown`, which closes the Mux but for itself, tells that it
// did, and answers when it may.
func (d *daemon) addShutdown() (closed chan error, answer chan struct{}) {
	closed, answer = make(chan error, 10), make(chan struct{})
	Handle(d.Mux, "shutdown", func(ctx context.Context, _ none, _ func(any)) (map[string]string, error) {
		closed <- d.Close(ctx)
		<-answer
		return map[string]string{"message": "shutdown"}, nil
	})
	return closed, answer
}

func TestShutdownIsAnsweredAndAllOthersEndWithoutAnswer(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho()
	began, end := d.addBlock()
	closed, answer := d.addShutdown()
	d.listen()
	idle, blocked, w := d.dial(), d.dial(), d.dial()
	idle.ask(lineOf("status", ""))
	blocked.send(lineOf("block", "") + "\n")
	ctx := receive(t, "a command runs", began)
	w.send(lineOf("shutdown", "") + "\n")
	if err := receive(t, "the mux is closed", closed); err != nil {
		t.Error(err)
	}
	idle.ends()
	blocked.ends()
	receive(t, "the command learns of it", Gone(ctx))
	if ctx.Err() != nil {
		t.Error("the command was cancelled")
	}
	if _, err := os.Lstat(d.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket file is there: %v", err)
	}
	w.send(lineOf("status", "") + "\n") // not answered any more
	close(answer)
	close(end)
	within(t, "all has ended", d.Wait)
	if got := w.line(); got != `{"status":"success","message":"shutdown"}` {
		t.Error(got)
	}
	if rest, err := w.in.ReadByte(); err == nil {
		t.Errorf("something follows: %q", rest)
	}
}

func TestSecondCloseDoesNotTakeTheKeptAnswer(t *testing.T) {
	d := newDaemon(t, Options{})
	closed, answer := d.addShutdown()
	w := d.listen().dial()
	w.send(lineOf("shutdown", "") + "\n")
	receive(t, "the mux is closed", closed)
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	close(answer)
	if got := w.line(); got != `{"status":"success","message":"shutdown"}` {
		t.Error(got)
	}
	w.ends()
}

func TestKeptCommandMayLoseItsClient(t *testing.T) {
	d := newDaemon(t, Options{})
	closed, answer := d.addShutdown()
	w := d.listen().dial()
	w.send(lineOf("shutdown", "") + "\n")
	receive(t, "the mux is closed", closed)
	w.Close()
	close(answer)
	within(t, "all has ended", d.Wait)
}

func TestKeptConnectionEndsThoughItsOtherCommandsRun(t *testing.T) {
	d := newDaemon(t, Options{MaxInFlight: 3})
	began, end := d.addBlock()
	closed, answer := d.addShutdown()
	w := d.listen().dial()
	w.send(lineOf("block", "") + "\n" + lineOf("block", "") + "\n" + lineOf("shutdown", "") + "\n" + lineOf("block", "") + "\n")
	ctx := receive(t, "a command runs", began)
	receive(t, "the mux is closed", closed)
	end <- struct{}{} // frees the reader, which must start nothing more
	if got := w.line(); got != `{"status":"success"}` {
		t.Error(got)
	}
	close(answer)
	if got := w.line(); got != `{"status":"success","message":"shutdown"}` {
		t.Error(got)
	}
	receive(t, "the other command learns of it", Gone(ctx))
	close(end)
	within(t, "all has ended", d.Wait)
	if len(began) != 1 {
		t.Errorf("%d further commands were begun, not the one that was under way", len(began))
	}
}

func TestServeAfterCloseClosesItsListener(t *testing.T) {
	d := newDaemon(t, Options{})
	d.Close(context.Background())
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Serve(l); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

func TestSeveralListenersAreServed(t *testing.T) {
	d := newDaemon(t, Options{}).addEcho().listen()
	first := d.path
	d.path += "2"
	d.listen()
	for _, path := range []string{first, d.path} {
		c, err := Dial(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Call[none](context.Background(), c, "status", nil, nil); err != nil {
			t.Error(err)
		}
		c.Close()
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	round := func() {
		d := newDaemon(t, Options{MaxLine: 1000, MaxConns: 5}).addEcho()
		began, end := d.addBlock()
		left := d.addFollow()
		l, err := net.Listen("unix", d.path)
		if err != nil {
			t.Fatal(err)
		}
		go d.Serve(l)
		follower, blocker, talker, idle, half := d.dial(), d.dial(), d.dial(), d.dial(), d.dial()
		talker.ask(lineOf("status", ""))
		follower.send(lineOf("follow", `,"n":5,"progress":true`) + "\n")
		follower.line()
		blocker.send(lineOf("block", "") + "\n")
		receive(t, "it blocks", began)
		half.send("{")
		turnedAway := d.dial()
		turnedAway.line()
		talker.ask(`nonsense`)
		Probe(context.Background(), d.path)
		d.Close(context.Background())
		receive(t, "the follower has left", left)
		close(end)
		within(t, "all has ended", d.Wait)
		for _, w := range []*wire{follower, blocker, talker, idle, half, turnedAway} {
			w.Close()
		}
	}
	round()
	goroutines, descriptors := resources(t)
	for range 10 {
		round()
	}
	eventually(t, "goroutines and descriptors are as before", func() bool {
		g, d := resources(t)
		return g <= goroutines && d <= descriptors
	})
}
