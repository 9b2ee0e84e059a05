package runner

import (
	"sync"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

// fileBook is the logbook in a directory of definition files. Nothing is
// written before the first start, and nothing is left after forget.
type fileBook struct {
	dir gate.Dir

	mu      sync.Mutex // guards what follows, and the order of writes
	def     gate.Definition
	written bool
}

func newFileBook(dir gate.Dir, def gate.Definition) *fileBook { return &fileBook{dir: dir, def: def} }

// id is that of the definition.
func (b *fileBook) id() string { return b.def.ID }

// change edits the definition and writes it, if there is a file already.
func (b *fileBook) change(edit func(*gate.Definition)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit(&b.def)
	if !b.written {
		return nil
	}
	return b.dir.Write(b.def)
}

// start writes the definition of what is to be started now: nothing runs that
// has no definition.
func (b *fileBook) start(edit func(*gate.Definition)) (gate.Definition, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit(&b.def)
	b.def.Want = gate.Run
	if err := b.dir.Write(b.def); err != nil {
		return gate.Definition{}, err
	}
	b.written = true
	return b.def, nil
}

func (b *fileBook) define(spec config.Spec) error {
	return b.change(func(d *gate.Definition) { d.Spec = spec })
}

func (b *fileBook) want(w gate.Want) error {
	return b.change(func(d *gate.Definition) { d.Want = w })
}

// wanted is what shall become of the process when it ends by itself.
func (b *fileBook) wanted() gate.Want {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.def.Want
}

func (b *fileBook) append(r gate.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.written {
		return nil
	}
	return b.dir.Append(b.def.ID, r)
}

func (b *fileBook) unit() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.def.Unit
}

// records are those that came after number seq.
func (b *fileBook) records(seq uint64) ([]gate.Record, error) { return b.dir.Records(b.def.ID, seq) }

// forget removes the files. What cannot be removed names a process that is
// gone, which the next daemon finds out.
func (b *fileBook) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written {
		_ = b.dir.Remove(b.def.ID)
		b.written = false
	}
}
