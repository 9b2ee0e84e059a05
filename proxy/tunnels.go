package proxy

import (
	"math/rand/v2"
	"sync"
	"time"
)

// tunnels is a set of open tunnels.
type tunnels struct {
	mu     sync.Mutex // guards what follows
	open   map[*tunnel]bool
	ending bool // a tunnel that is added is closed at once
}

func (s *tunnels) add(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*tunnel]bool)
	}
	s.open[t] = true
	if s.ending {
		t.close()
	}
}

func (s *tunnels) remove(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
}

// stay lets tunnels be added again after closeAll.
func (s *tunnels) stay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = false
}

// end lists what is open; what is added from now on is closed at once.
func (s *tunnels) end() []*tunnel {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	list := make([]*tunnel, 0, len(s.open))
	for t := range s.open {
		list = append(list, t)
	}
	return list
}

// closeAll closes the tunnels at moments spread at random over spread and
// returns when they are gone.
func (s *tunnels) closeAll(spread time.Duration) {
	var all sync.WaitGroup
	for _, t := range s.end() {
		all.Go(func() { t.closeAfter(spread) })
	}
	all.Wait()
}

func (t *tunnel) closeAfter(spread time.Duration) {
	if spread > 0 {
		timer := time.NewTimer(rand.N(spread))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-t.done:
		}
	}
	t.close()
	<-t.done
}

// cutAll ends every tunnel at once and returns how many there were.
func (s *tunnels) cutAll() int {
	list := s.end()
	for _, t := range list {
		t.cutOff()
	}
	return len(list)
}
