package runner

import (
	"context"
	"fmt"
	"math/rand/v2"

	"rollbridge/supervisor/config"
)

// Direct runs processes as plain children of this one, each in its own session
// with its output in memory. None of them is found again by a later daemon.
//
// It makes this process a child subreaper, so that a descendant that turns
// itself into a daemon becomes a child of ours instead of escaping, and is
// signalled and awaited with the rest of its process. See tree.go for how its
// owner is known, and reaper.go for what that means for other children.
type Direct struct{ reaper *reaper }

// NewDirect is the direct runner. There may be several in one program.
func NewDirect() (*Direct, error) {
	if err := children.open(); err != nil {
		return nil, fmt.Errorf("become the reaper of orphaned processes: %w", err)
	}
	return &Direct{reaper: &children}, nil
}

// Close ends the reaping of orphans; call it once, after the last Stop. It
// stops no process.
func (d *Direct) Close() { d.reaper.close() }

// Kind is "direct".
func (d *Direct) Kind() string { return "direct" }

// New prepares a process.
func (d *Direct) New(spec config.Spec, observe func(Event)) Process {
	output := newRing(spec.OutputLines)
	tag := rand.Uint64() >> 1
	return newTask(spec, observe, output, func(spec config.Spec, _ func(Ref) error) (instance, error) {
		return startChild(d.reaper, tag, spec, output)
	})
}

// Adopt always answers ErrGone: children of an earlier daemon are not ours, and
// nobody kept their output.
func (d *Direct) Adopt(context.Context, Ref, config.Spec, func(Event)) (Process, error) {
	return nil, ErrGone
}

// Left is nothing: see Adopt.
func (d *Direct) Left(context.Context) ([]Left, error) { return nil, nil }

// Discard has nothing to discard.
func (d *Direct) Discard(context.Context, Left) error { return ErrGone }

// Follow reads the output that is kept in memory.
func (d *Direct) Follow(tell func(Process, Line)) Follower { return followRings(tell) }
