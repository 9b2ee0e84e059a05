package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainWaitsForWhatIsRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := NewUpstream("r1", "127.0.0.1:1")
		release := u.Retain("handed over")
		drained := make(chan error, 1)
		go func() { drained <- u.Drain(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Fatalf("Drain did not wait: %v", err)
		default:
		}
		release()
		release()
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		if err := u.Drain(context.Background()); err != nil {
			t.Errorf("Drain again: %v", err)
		}
	})
}

func TestDrainSaysWhyItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := NewUpstream("r1", "127.0.0.1:1")
		defer u.Retain("for ever")()
		why := errors.New("drain time-out")
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, why)
		defer cancel()
		if err := u.Drain(ctx); err != why {
			t.Errorf("Drain: %v", err)
		}
	})
}

func TestRetiredUpstreamTurnsRequestsAway(t *testing.T) {
	p := New(Options{})
	first, second := NewUpstream("r1", "127.0.0.1:1"), NewUpstream("r2", "127.0.0.1:1")
	if p.Switch(first) != nil || p.Active() != first || first.enter(plain) != nil {
		t.Fatal("active upstream does not take requests")
	}
	if p.Switch(second) != first || p.Active() != second {
		t.Fatal("Switch did not replace the first")
	}
	if again := first.enter(plain); again == nil {
		t.Error("retired upstream took a request")
	} else {
		<-again // at once
	}
	first.Suspend()
	first.Resume()
	if again := first.enter(webSocket); again == nil {
		t.Error("retired upstream took a request after a restart")
	} else {
		<-again
	}
	first.leave(plain)
	if p.Switch(first) != second || first.enter(plain) != nil {
		t.Error("upstream that is active again does not take requests")
	}
	if p.Switch(first) != first || first.enter(plain) != nil {
		t.Error("switching to the active upstream retired it")
	}
}
