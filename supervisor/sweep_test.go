package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A story is what operators do, one command after the other. It ends early when
// the daemon is killed.
type story struct {
	*world
	// promised is the active release as the last answer told, "" for none; trying
	// is the one that the command under way wants, the same when there is none.
	promised, trying string
}

var errBadHealth = errors.New("HTTP 500")

// tell goes through first deploy, deploy beside open connections, failed deploy,
// rollback, restart of processes, stop, and deploy after it.
func (s *story) tell() {
	steps := []func() error{
		func() error { return s.to("v1", func() error { _, err := s.deploy("v1"); return err }) },
		func() error {
			done := s.openRequest("v1")
			defer time.AfterFunc(2*time.Second, done)
			return s.to("v2", func() error { _, err := s.deploy("v2"); return err })
		},
		func() error {
			s.setHealth("v3", errBadHealth)
			return s.to("v3", func() error { _, err := s.deploy("v3"); return err })
		},
		func() error { time.Sleep(10 * time.Second); return nil },
		func() error { return s.to("v1", func() error { _, err := s.rollback(""); return err }) },
		func() error {
			_, err := s.Restart(context.Background(), RestartArgs{}, func(any) {})
			return err
		},
		func() error {
			return s.to("", func() error { _, err := s.Stop(context.Background(), StopArgs{}, func(any) {}); return err })
		},
		func() error { return s.to("v4", func() error { _, err := s.deploy("v4"); return err }) },
		func() error { time.Sleep(10 * time.Second); return nil },
	}
	for _, step := range steps {
		err := step()
		if s.runner.daemon.isDead() {
			return
		}
		if err != nil && !strings.Contains(err.Error(), "HTTP 500") {
			s.t.Errorf("the story broke off: %v", err)
			return
		}
	}
}

// to runs a command after which another release is to be active.
func (s *story) to(id string, command func() error) error {
	s.trying = id
	err := command()
	switch {
	case s.runner.daemon.isDead():
	case err != nil:
		s.trying = s.promised
	default:
		s.promised = id
	}
	return err
}

// inStory begins the story with a daemon that is killed before its n-th effect;
// -1 is never. It returns how many effects it had.
func inStory(t *testing.T, n int, after func(*testing.T, *story)) (effects int) {
	survivors(t, shop, func(t *testing.T, w *world) {
		w.runner.daemon.last = n
		w.host.on("clock", behaviour{stopTime: time.Second})
		s := &story{world: w}
		s.tell()
		w.runner.daemon.mu.Lock()
		effects = w.runner.daemon.steps
		w.runner.daemon.mu.Unlock()
		after(t, s)
	})
	return effects
}

// checkAfterwards makes sure that everything is as it should be, whenever the
// daemon was killed.
func (s *story) checkAfterwards(t *testing.T) {
	s.setHealth("v3", nil) // that it was bad is why v3 must not be active
	time.Sleep(2 * time.Minute)
	s.settle()
	id := ""
	if active := s.status().ActiveReleaseID; active != nil {
		id = *active
	}
	if id != s.promised && id != s.trying || id == "v3" {
		t.Fatalf("active is %q, though it was promised %q, and %q was tried", id, s.promised, s.trying)
	}
	running := s.host.running()
	if id == "" {
		for _, name := range running {
			if !strings.HasPrefix(name, "clock@") && !strings.HasPrefix(name, "broker@") {
				t.Errorf("%s still runs", name)
			}
		}
		return
	}
	want := []string{"broker@" + id, "cable@" + id, "clock@" + id, "mailer@" + id, "web@" + id}
	if !slices.Equal(running, want) {
		t.Errorf("running %v, want %v", running, want)
	}
	if r := s.release(id); s.proxy.Active() != r.upstream || r.upstream.Suspended() {
		t.Errorf("%s does not serve", id)
	}
	for _, state := range s.states() {
		if !strings.HasSuffix(state, " stopped") && state != id+" active" {
			t.Errorf("states %v", s.states())
		}
	}
	if m := readState(s.places().File); m.problem != nil || m.active() == nil {
		t.Errorf("the state file: %+v", m)
	}
	if problems := s.status().Problems; len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
}

func TestDaemonKilledAnywhere(t *testing.T) {
	total := inStory(t, -1, func(t *testing.T, s *story) { s.checkAfterwards(t) })
	if total < 80 {
		t.Fatalf("the story has only %d effects", total)
	}
	for name, c := range map[string]struct {
		stride int // every so many effects: each story takes a while
		next   func(*story)
	}{
		"restart": {1, func(s *story) { s.restart() }},
		"boot":    {3, func(s *story) { s.reboot() }},
		"killed again": {3, func(s *story) { // in the middle of resuming
			s.crash()
			s.start(s.places())
			s.runner.daemon.last = 7
			go s.Resume(context.Background())
			s.settle()
			time.Sleep(5 * time.Second)
			s.settle()
			s.restart()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 0; n < total; n += c.stride {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					inStory(t, n, func(t *testing.T, s *story) {
						c.next(s)
						s.checkAfterwards(t)
						s.mustDeploy("v9")
					})
				})
			}
		})
	}
}
