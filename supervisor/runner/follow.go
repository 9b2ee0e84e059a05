package runner

import (
	"context"
	"maps"
	"sync"
)

// ringFollower follows processes whose output is in memory, with a goroutine
// for each.
type ringFollower struct {
	tell      func(Process, Line)
	following map[Process]context.CancelFunc
	running   sync.WaitGroup
}

func followRings(tell func(Process, Line)) *ringFollower {
	return &ringFollower{tell: tell, following: map[Process]context.CancelFunc{}}
}

// writer is a Process that says where its lines are.
type writer interface{ written() output }

// Set begins with the processes that are new and ends with those that are gone.
func (f *ringFollower) Set(_ context.Context, processes []Process, w Window) error {
	gone := maps.Clone(f.following)
	for _, p := range processes {
		delete(gone, p)
		if f.following[p] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		f.following[p] = cancel
		r := p.(writer).written().(*ring) // a process of this runner
		f.running.Go(func() { f.follow(ctx, p, r, w) })
	}
	for p, cancel := range gone {
		cancel()
		delete(f.following, p)
	}
	return nil
}

// Close ends all of it.
func (f *ringFollower) Close() {
	for _, cancel := range f.following {
		cancel()
	}
	f.running.Wait()
}

func (f *ringFollower) follow(ctx context.Context, p Process, r *ring, w Window) {
	out := r.since(0)
	lines := w.pick(out.lines)
	for {
		for _, line := range lines {
			f.tell(p, line)
		}
		select {
		case <-out.changed:
		case <-ctx.Done():
			return
		}
		out = r.since(out.next)
		lines = out.lines
	}
}
