package systemd

import (
	"sync"

	"github.com/godbus/dbus/v5"
)

// watchers are those who want to look again at a unit when something happens to
// it. By its path, which is all that most signals have.
type watchers struct {
	mu   sync.Mutex // guards the map
	unit map[dbus.ObjectPath]map[chan struct{}]bool
}

// Watch returns a channel that gets a token, never more than one, whenever
// something may have changed about a unit: at a signal about it, and whenever
// signals may have been lost. It means "look again", nothing more; the first
// look, after Watch, is the caller's. stop ends it.
//
// Who looks at a unit that is not loaded learns so without a signal; reading its
// properties some other way would load it for a moment and cause signals, each
// a reason to look again.
func (b *Bus) Watch(name string) (changed <-chan struct{}, stop func()) {
	token := make(chan struct{}, 1)
	path := unitPath(name)
	b.watchers.add(path, token)
	return token, func() { b.watchers.remove(path, token) }
}

func (w *watchers) add(path dbus.ObjectPath, token chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unit == nil {
		w.unit = map[dbus.ObjectPath]map[chan struct{}]bool{}
	}
	if w.unit[path] == nil {
		w.unit[path] = map[chan struct{}]bool{}
	}
	w.unit[path][token] = true
}

func (w *watchers) remove(path dbus.ObjectPath, token chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.unit[path], token); len(w.unit[path]) == 0 {
		delete(w.unit, path)
	}
}

// about tells those who watch a unit.
func (w *watchers) about(path dbus.ObjectPath) {
	w.mu.Lock()
	defer w.mu.Unlock()
	give(w.unit[path])
}

// all tells everyone.
func (w *watchers) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tokens := range w.unit {
		give(tokens)
	}
}

func give(tokens map[chan struct{}]bool) {
	for token := range tokens {
		select {
		case token <- struct{}{}:
		default: // one is there that nobody has taken yet
		}
	}
}

// receive takes a signal of the manager. Those about units that nobody watches
// end at a map lookup.
func (b *Bus) receive(s *dbus.Signal) {
	switch s.Name {
	case properties + ".PropertiesChanged":
		b.watchers.about(s.Path)
	case managerInterface + ".UnitNew", managerInterface + ".UnitRemoved":
		var name string
		var unit dbus.ObjectPath
		if dbus.Store(s.Body, &name, &unit) == nil {
			b.watchers.about(unit)
		}
	case managerInterface + ".JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if dbus.Store(s.Body, &id, &job, &unit, &result) == nil {
			b.jobs.end(job, result)
			b.watchers.about(unitPath(unit))
		}
	case managerInterface + ".Reloading":
		var begins bool
		if dbus.Store(s.Body, &begins) == nil && !begins {
			b.lookAgain()
		}
	}
}

// unitPath is the object that a manager has for a unit: every byte that is no
// letter or digit is written _xx, a leading digit too.
func unitPath(name string) dbus.ObjectPath {
	const hex = "0123456789abcdef"
	path := []byte(managerPath + "/unit/")
	for i := range len(name) {
		c := name[i]
		isLetter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if isLetter || i > 0 && c >= '0' && c <= '9' {
			path = append(path, c)
		} else {
			path = append(path, '_', hex[c>>4], hex[c&15])
		}
	}
	return dbus.ObjectPath(path)
}
