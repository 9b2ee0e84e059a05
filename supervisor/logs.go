package supervisor

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"rollbridge/socket/control"
	"rollbridge/supervisor/runner"
)

// Logs tells the output of processes; with args.Follow it goes on as they write,
// those started meanwhile too, until the client leaves.
func (s *Supervisor) Logs(ctx context.Context, args LogsArgs, progress func(any)) (LogsResult, error) {
	w, err := args.window()
	if err != nil {
		return LogsResult{}, err
	}
	if args.Follow {
		return LogsResult{Processes: []ProcessLogs{}}, s.followLogs(ctx, args, w, progress)
	}
	sources := s.logSources(args)
	if len(sources) == 0 && s.opt.Archive != nil && (args.ProcessID != "" || args.Release != "") {
		old, err := s.opt.Archive.Logs(ctx, args)
		return LogsResult{Processes: old}, err
	}
	result := LogsResult{Processes: []ProcessLogs{}}
	processes := make([]runner.Process, len(sources))
	for i, source := range sources {
		processes[i] = source.process
	}
	lines, err := tails(ctx, processes, w)
	for i, source := range sources {
		result.Processes = append(result.Processes, ProcessLogs{
			ID: source.process.Spec().Instance, Source: source.name, Logs: logLines(lines[i]),
		})
	}
	return result, err
}

// window is the lines that args asks for of each process.
func (args LogsArgs) window() (runner.Window, error) {
	since, err := parseSince(args.Since)
	return runner.Window{Lines: args.Lines, Since: since}, err
}

// wants reports whether args asks for an instance.
func (args LogsArgs) wants(instance string) bool {
	process, _, _ := strings.Cut(instance, "#")
	return args.ProcessID == "" || args.ProcessID == instance || args.ProcessID == process
}

// tails reads the output of several processes at once: each may take some
// milliseconds. Those that can be read are there after an error, too.
func tails(ctx context.Context, processes []runner.Process, w runner.Window) ([][]runner.Line, error) {
	lines, errs := make([][]runner.Line, len(processes)), make([]error, len(processes))
	var reading sync.WaitGroup
	for i, p := range processes {
		reading.Go(func() { lines[i], errs[i] = p.Tail(ctx, w) })
	}
	reading.Wait()
	for _, err := range errs {
		if err != nil {
			return lines, err
		}
	}
	return lines, nil
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
			if args.wants(p.Spec().Instance) {
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
// happened it looks again which processes there are; of those that come later
// everything is shown.
func (s *Supervisor) followLogs(ctx context.Context, args LogsArgs, w runner.Window, progress func(any)) error {
	names := logNames{progress: progress, names: map[runner.Process]string{}}
	f := s.runner.Follow(names.tell)
	defer f.Close()
	for {
		_, _, changed := s.events.since(0)
		if err := f.Set(ctx, names.take(s.logSources(args)), w); err != nil {
			return err
		}
		w = runner.Window{}
		select {
		case <-changed:
		case <-control.Gone(ctx):
			return nil
		}
	}
}

// logNames knows what processes are called while their lines are streamed.
type logNames struct {
	progress func(any)

	mu    sync.Mutex
	names map[runner.Process]string
}

// take learns the names and returns the processes.
func (n *logNames) take(sources []logSource) []runner.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.names)
	processes := make([]runner.Process, len(sources))
	for i, source := range sources {
		processes[i], n.names[source.process] = source.process, source.name
	}
	return processes
}

func (n *logNames) tell(p runner.Process, l runner.Line) {
	n.mu.Lock()
	name, known := n.names[p]
	n.mu.Unlock()
	if !known {
		return // it has just gone
	}
	line := logLine(l)
	line.ID, line.Source = p.Spec().Instance, name
	n.progress(line)
}
