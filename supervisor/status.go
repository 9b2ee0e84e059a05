package supervisor

import (
	"context"
	"iter"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

// takeUpTime is how long status waits at the start of the daemon until it is
// known what runs.
const takeUpTime = 5 * time.Second

// Status tells what runs. It never waits for an operation.
func (s *Supervisor) Status(ctx context.Context, args StatusArgs, _ func(any)) (StatusResult, error) {
	select {
	case <-s.takenUp:
	case <-s.ending.Done():
	case <-time.After(takeUpTime):
	}
	result, processes := s.statusNow()
	if !args.WithoutLogs {
		result.addLogs(ctx, processes)
	}
	return result, nil
}

// status is the answer of commands that change what runs.
func (s *Supervisor) status() StatusResult {
	result, _ := s.Status(context.Background(), StatusArgs{}, nil)
	return result
}

// logsTime is how long status waits for the output of processes.
const logsTime = 2 * time.Second

// addLogs reads the output of the processes, in their order in the result.
// Output that cannot be read, or not in time, is missing: the rest is what
// matters.
func (r *StatusResult) addLogs(ctx context.Context, processes []runner.Process) {
	ctx, cancel := context.WithTimeout(ctx, logsTime)
	defer cancel()
	lines, _ := tails(ctx, processes, runner.Window{})
	i := 0
	for status := range r.processes() {
		status.Logs = logLines(lines[i])
		i++
	}
}

// processes are all processes in the result, in the order of the text.
func (r *StatusResult) processes() iter.Seq[*ProcessStatus] {
	return func(yield func(*ProcessStatus) bool) {
		for i := range r.Releases {
			for j := range r.Releases[i].Processes {
				if !yield(&r.Releases[i].Processes[j]) {
					return
				}
			}
		}
		for _, owned := range [][]OwnedProcess{r.Services, r.Singletons} {
			for i := range owned {
				if !yield(&owned[i].Process) {
					return
				}
			}
		}
	}
}

// statusNow is the status without logs, and its processes in their order.
func (s *Supervisor) statusNow() (StatusResult, []runner.Process) {
	s.forgetDeadOrphans()
	s.mu.Lock()
	defer s.mu.Unlock()
	result := StatusResult{
		ActiveReleaseID: s.active.idOrNil(),
		Application:     s.config.Application,
		Config:          s.opt.Config.File,
		Control:         controlStatus(s.opt.Config.Control),
		Daemon:          daemonFigures(),
		DaemonRuntime:   s.opt.Runtime,
		Operation:       s.op.statusLocked(),
		Orphans:         s.orphansLocked(),
		PID:             os.Getpid(),
		Proxy:           s.proxyStatusLocked(),
		Releases:        []ReleaseStatus{},
		Runner:          s.runner.Kind(),
		RunnerReason:    s.opt.RunnerReason,
		Services:        ownedStatus(s.services),
		Singletons:      ownedStatus(s.singletons),
		StartedAt:       timestamp(s.started),
		StatePath:       s.opt.State.File,
		Problems:        s.problemsLocked(),
	}
	var processes []runner.Process
	for _, r := range s.releases {
		result.Releases = append(result.Releases, r.statusLocked())
		processes = append(processes, r.processes...)
	}
	return result, slices.Concat(processes, s.services, s.singletons)
}

func controlStatus(c config.Control) ControlStatus {
	status := ControlStatus{Group: c.Group, Owner: c.Owner, Path: c.Path}
	if c.Mode != nil {
		mode := int(*c.Mode)
		status.Mode = &mode
	}
	return status
}

// daemonFigures is what a watcher of leaks wants to know.
func daemonFigures() *DaemonFigures {
	figures := &DaemonFigures{Goroutines: runtime.NumGoroutine()}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		figures.FDs = len(fds) - 1 // not the one this look has open
	}
	return figures
}

func (s *Supervisor) proxyStatusLocked() ProxyStatus {
	status := ProxyStatus{UpstreamHost: s.config.Proxy.UpstreamHost, Held: s.proxy.Held(), Listen: []string{}}
	for _, addr := range s.opt.Listening {
		status.Listen = append(status.Listen, address(addr))
		if tcp, ok := addr.(*net.TCPAddr); ok && status.Port == 0 {
			status.Host, status.Port = s.opt.Config.Proxy.Host, tcp.Port
			if s.opt.Sockets != nil {
				status.Host, _, _ = net.SplitHostPort(addr.String())
			}
		}
	}
	return status
}

func (op *operation) statusLocked() *Operation {
	if op == nil {
		return nil
	}
	return &Operation{
		Command: op.command, Release: op.release, Phase: op.phase, Since: timestamp(op.since),
		PeerPID: op.peer.PID, PeerUID: op.peer.UID,
	}
}

// problemsLocked is what is wrong with the daemon, in an order that does not
// change.
func (s *Supervisor) problemsLocked() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.problems)) {
		list = append(list, s.problems[name])
	}
	if err := s.state.problem(); err != nil {
		list = append(list, "the state is not kept: "+err.Error())
	}
	return list
}

func (r *release) statusLocked() ReleaseStatus {
	status := r.figuresLocked()
	for _, p := range r.processes {
		status.Processes = append(status.Processes, processStatus(p))
	}
	return status
}

// figuresLocked is the status of a release without its processes.
func (r *release) figuresLocked() ReleaseStatus {
	open := r.upstream.Open()
	return ReleaseStatus{
		ActivatedAt:     timestamp(r.activatedAt),
		ConnectionCount: open.HTTP + open.WebSocket,
		Connections:     Connections{HTTP: open.HTTP, WebSocket: open.WebSocket},
		DrainStartedAt:  timestamp(r.drainStartedAt),
		Generation:      r.generation,
		Ports:           r.ports,
		Processes:       []ProcessStatus{},
		ReleaseID:       r.id,
		ReleasePath:     r.path,
		Revision:        r.revision,
		State:           string(r.state),
		StoppedAt:       timestamp(r.stoppedAt),
	}
}

func ownedStatus(processes []runner.Process) []OwnedProcess {
	owned := []OwnedProcess{}
	for _, p := range processes {
		owned = append(owned, OwnedProcess{ID: p.Spec().Instance, Process: processStatus(p)})
	}
	return owned
}

// processStatus is the status of a process without its output.
func processStatus(p runner.Process) ProcessStatus {
	spec := p.Spec()
	st, _ := p.Watch()
	status := ProcessStatus{
		Children:            st.Children,
		Command:             spec.Command,
		Cwd:                 spec.Dir,
		GaveUp:              st.GaveUp,
		ID:                  spec.Instance,
		LastMemoryRestartAt: timestamp(st.LastMemoryRestartAt),
		LastStartReason:     st.Reason,
		Logs:                []LogLine{},
		MemoryRestarts:      st.MemoryRestarts,
		PID:                 st.PID,
		Policy:              string(spec.Policy),
		Port:                spec.Port,
		Restarts:            st.Restarts,
		RetryAt:             timestamp(st.NextTry()),
		RSSBytes:            st.RSSBytes,
		StartedAt:           timestamp(st.StartedAt),
		State:               st.State,
	}
	if status.Children == nil {
		status.Children = []runner.Child{}
	}
	if st.Exit != nil {
		code, signal := exitFields(st.Exit)
		status.ExitCode, status.ExitSignal, status.OOMKilled = &NullInt{code}, &NullString{signal}, st.Exit.OOM
	}
	if st.Err != nil {
		status.LastError = st.Err.Error()
	}
	if st.State == runner.Running {
		uptime := st.Uptime().Milliseconds()
		status.UptimeMs = &uptime
	}
	return status
}

// exitFields is an exit as answers and events give it: a code or the name of a
// signal, the other one null; both null when it is not known.
func exitFields(e *runner.Exit) (code *int, signal *string) {
	switch {
	case e == nil || e.Unknown:
		return nil, nil
	case e.Signal != 0:
		name := unix.SignalName(e.Signal)
		return nil, &name
	}
	return &e.Code, nil
}

func pidOrNil(pid int) *int {
	if pid == 0 {
		return nil
	}
	return &pid
}

func logLines(lines []runner.Line) []LogLine {
	out := make([]LogLine, len(lines))
	for i, l := range lines {
		out[i] = logLine(l)
	}
	return out
}

func logLine(l runner.Line) LogLine {
	return LogLine{At: timestamp(l.At), Line: l.Text, Stream: l.Stream}
}
