package proxy

import (
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

// len is how many are open.
func (s *tunnels) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
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

// closeAll closes the tunnels one after the other, evenly over spread, so that
// their clients do not all come back at once. It returns when they are gone.
func (s *tunnels) closeAll(spread time.Duration) {
	var all sync.WaitGroup
	list := s.end()
	for i, t := range list {
		after := time.Duration(float64(spread) * float64(i) / float64(len(list)))
		all.Go(func() { t.closeAfter(after) })
	}
	all.Wait()
}

func (t *tunnel) closeAfter(d time.Duration) {
	if d > 0 {
		timer := time.NewTimer(d)
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
