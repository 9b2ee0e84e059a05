package supervisor

import (
	"context"
	"errors"
	"testing"
	"time"

	"rollbridge/proxy"
)

func TestLine(t *testing.T) {
	survivors(t, shop, func(t *testing.T, w *world) {
		line := func(when, want string) {
			t.Helper()
			w.settle()
			if got := w.Line(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		line("at first", "shop: no active release")
		w.mustDeploy("v1")
		line("after a deploy", "shop: v1 active just now")
		time.Sleep(3*time.Hour + 20*time.Minute)
		line("later", "shop: v1 active 3 h")
		w.openRequest("v1")
		done := w.slowDeploy("v2")
		line("while one is under way", "shop: v1 active 3 h, deploy of v2 (health)")
		w.Cancel(t.Context(), struct{}{}, func(any) {})
		<-done
		w.mustDeploy("v3")
		line("while another one drains", "shop: v3 active just now, draining v1")
		w.setProblem("test", "something is wrong")
		line("with a problem", "shop: v3 active just now, draining v1; something is wrong")
		w.setProblem("test", "")
		w.Detach(t.Context())
		line("at a restart", "shop: restarting, processes go on, v3 active just now, draining v1")
	})
}

func TestChangedTellsOfEventsAndSteps(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		await := func(what string) {
			t.Helper()
			select {
			case <-w.Changed():
			case <-time.After(time.Second):
				t.Errorf("%s: not told", what)
			}
		}
		w.Note("signal received", nil)
		await("an event")
		done := w.slowDeploy("v1")
		w.settle()
		await("a step of a deploy")
		w.Cancel(t.Context(), struct{}{}, func(any) {})
		<-done
		await("its end")
	})
}

func TestBeatNeedsTheLock(t *testing.T) {
	var s Supervisor
	if err := s.Beat(t.Context()); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Beat(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with the lock taken: %v", err)
	}
}

func TestOpenText(t *testing.T) {
	for want, open := range map[string]proxy.Open{
		"":                           {},
		" (1 request)":               {HTTP: 1},
		" (2 websockets)":            {WebSocket: 2},
		" (3 requests, 1 websocket)": {HTTP: 3, WebSocket: 1},
	} {
		if got := openText(open); got != want {
			t.Errorf("%+v: %q, want %q", open, got, want)
		}
	}
}
