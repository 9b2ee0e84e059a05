package supervisor

import (
	"context"
	"fmt"
	"maps"
	"math"
	"sync"

	"rollbridge/socket/control"
	"rollbridge/supervisor/runner"
)

// Events tells what happened; with args.Follow it goes on as things happen,
// until the client leaves.
func (s *Supervisor) Events(ctx context.Context, args EventsArgs, progress func(any)) (EventsResult, error) {
	if !args.Follow {
		events, _, _ := s.events.since(0)
		return EventsResult{newest(events, ceil(args.Limit))}, nil
	}
	events, next, changed := s.events.since(0)
	events = newest(events, ceil(args.Limit))
	for {
		for _, event := range events {
			progress(event)
		}
		select {
		case <-changed:
		case <-control.Gone(ctx):
			return EventsResult{Events: []Event{}}, nil
		}
		events, next, changed = s.events.since(next)
	}
}

// ceil rounds a limit up, as clients of the original expect: 2.5 shows three.
func ceil(limit any) int {
	n, _ := limit.(float64)
	return int(math.Ceil(min(n, maxEvents)))
}

// Logs tells the kept output of processes; with args.Follow it goes on as they
// write, those started meanwhile too, until the client leaves.
func (s *Supervisor) Logs(ctx context.Context, args LogsArgs, progress func(any)) (LogsResult, error) {
	if args.Follow {
		s.followLogs(ctx, args, progress)
		return LogsResult{Processes: []ProcessLogs{}}, nil
	}
	result := LogsResult{Processes: []ProcessLogs{}}
	for _, source := range s.logSources(args) {
		lines := newest(source.process.Output(0).Lines, args.Lines)
		result.Processes = append(result.Processes, ProcessLogs{
			ID: source.process.Spec().Instance, Source: source.name, Logs: logLines(lines),
		})
	}
	return result, nil
}

// logSource is a process and what it is called in logs.
type logSource struct {
	process runner.Process
	name    string
}

// logSources are the processes that args asks for: of the releases, then the
// services, then the singletons.
func (s *Supervisor) logSources(args LogsArgs) []logSource {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sources []logSource
	add := func(name string, processes []runner.Process) {
		for _, p := range processes {
			if spec := p.Spec(); args.ProcessID == "" || args.ProcessID == spec.Instance || args.ProcessID == spec.Process {
				sources = append(sources, logSource{p, name})
			}
		}
	}
	releases := s.releases
	if s.starting != nil && s.starting.state == starting {
		releases = append(releases[:len(releases):len(releases)], s.starting)
	}
	for _, r := range releases {
		if args.Release == "" || args.Release == r.id {
			add(fmt.Sprintf("release %s (%s)", r.id, r.state), r.processes)
		}
	}
	if args.Release == "" {
		add("service", s.services)
		add("singleton", s.singletons)
	}
	return sources
}

// followLogs streams output until the client leaves. Whenever something has
// happened it looks again which processes there are.
func (s *Supervisor) followLogs(ctx context.Context, args LogsArgs, progress func(any)) {
	f := logFollower{ctx: ctx, lines: args.Lines, progress: progress, following: map[runner.Process]context.CancelFunc{}}
	defer f.end()
	for {
		_, _, changed := s.events.since(0)
		f.follow(s.logSources(args))
		select {
		case <-changed:
		case <-control.Gone(ctx):
			return
		}
	}
}

// logFollower streams the output of processes that come and go.
type logFollower struct {
	ctx       context.Context
	lines     int // of the first processes, how many to show from before
	progress  func(any)
	following map[runner.Process]context.CancelFunc
	running   sync.WaitGroup
}

// follow begins with the processes that are new and ends with those that are
// gone.
func (f *logFollower) follow(sources []logSource) {
	gone := maps.Clone(f.following)
	for _, source := range sources {
		delete(gone, source.process)
		if f.following[source.process] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(f.ctx)
		f.following[source.process] = cancel
		kept := source.process.Output(0)
		from := kept.Next - uint64(len(newest(kept.Lines, f.lines)))
		f.running.Go(func() { source.follow(ctx, from, f.progress) })
	}
	for process, cancel := range gone {
		cancel()
		delete(f.following, process)
	}
	f.lines = 0
}

func (f *logFollower) end() {
	for _, cancel := range f.following {
		cancel()
	}
	f.running.Wait()
}

// follow streams the lines of one process from number next on.
func (l logSource) follow(ctx context.Context, next uint64, progress func(any)) {
	for {
		out := l.process.Output(next)
		for _, line := range logLines(out.Lines) {
			line.ID, line.Source = l.process.Spec().Instance, l.name
			progress(line)
		}
		next = out.Next
		select {
		case <-out.Changed:
		case <-ctx.Done():
			return
		}
	}
}
