package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollbridge/supervisor"
	"rollbridge/supervisor/runner"
)

const stopped = "stopped" // the state of a release

// living are the releases that are not stopped, the active one first.
func living(all []supervisor.ReleaseStatus) []supervisor.ReleaseStatus {
	var list []supervisor.ReleaseStatus
	for _, r := range all {
		switch r.State {
		case "active":
			list = slices.Insert(list, 0, r)
		case stopped:
		default:
			list = append(list, r)
		}
	}
	return list
}

// releaseBlock tells about one release and its processes.
func (e *env) releaseBlock(r supervisor.ReleaseStatus) block {
	return block{title: e.releaseTitle(r), rows: e.processRows(r.Processes)}
}

// stoppedBlock lists the releases to roll back to, newest first.
func (e *env) stoppedBlock(all []supervisor.ReleaseStatus) block {
	b := block{}
	for _, r := range slices.Backward(all) {
		if r.State != stopped {
			continue
		}
		b.title = []cell{{"stopped releases", e.Stdout.bold}}
		b.rows = append(b.rows, []cell{
			{"   " + printable(releaseName(r)), nil},
			{e.since(r.StoppedAt) + " ago", e.Stdout.dim},
			{printable(r.ReleasePath), e.Stdout.dim},
		})
	}
	return b
}

func releaseName(r supervisor.ReleaseStatus) string {
	name := r.ReleaseID
	if r.Generation > 1 {
		name += fmt.Sprintf(" (generation %d)", r.Generation)
	}
	if r.Revision != r.ReleaseID && r.Revision != "" {
		name += " revision " + r.Revision
	}
	return name
}

func (e *env) releaseTitle(r supervisor.ReleaseStatus) []cell {
	return []cell{
		{printable(releaseName(r)), e.Stdout.bold},
		{e.releaseState(r), e.releasePaint(r.State)},
		{connectionText(r.Connections), nil},
		{printable(r.ReleasePath), e.Stdout.dim},
	}
}

// releaseState is the state and since when: "draining for 4 s".
func (e *env) releaseState(r supervisor.ReleaseStatus) string {
	stamp := r.ActivatedAt
	if r.State == "draining" {
		stamp = r.DrainStartedAt
	}
	if since := e.since(stamp); since != "" {
		return r.State + " for " + since
	}
	return r.State
}

func (e *env) releasePaint(state string) func(string) string {
	if state == "active" {
		return e.Stdout.green
	}
	return e.Stdout.yellow
}

// connectionText says what is open: "3 http, 2 websocket".
func connectionText(open supervisor.Connections) string {
	return fmt.Sprintf("%d http, %d websocket", open.HTTP, open.WebSocket)
}

// ownedBlock tells about processes that belong to the daemon.
func (e *env) ownedBlock(title string, owned []supervisor.OwnedProcess) block {
	if len(owned) == 0 {
		return block{}
	}
	var list []supervisor.ProcessStatus
	for _, o := range owned {
		list = append(list, o.Process)
	}
	return block{title: []cell{{title, e.Stdout.bold}}, rows: e.processRows(list)}
}

// orphanBlock tells about processes that an earlier daemon left.
func (e *env) orphanBlock(orphans []supervisor.Orphan) block {
	if len(orphans) == 0 {
		return block{}
	}
	b := block{title: []cell{{"left by an earlier daemon", e.Stdout.yellow}}}
	for i, o := range orphans {
		release := ""
		if o.ReleaseID != nil {
			release = "release " + *o.ReleaseID
		}
		b.rows = append(b.rows, []cell{{branch(i, len(orphans)) + printable(o.ID), nil}, {fmt.Sprintf("pid %d", o.PID), nil}, {printable(release), nil}})
	}
	return b
}

func (e *env) processRows(list []supervisor.ProcessStatus) [][]cell {
	var rows [][]cell
	for i, p := range list {
		rows = append(rows, []cell{
			{branch(i, len(list)) + printable(p.ID), nil},
			{string(p.State), e.processPaint(p.State)},
			{number("pid", p.PID), nil},
			{number("port", p.Port), nil},
			{uptime(p), nil},
			{printable(e.processNotes(p)), e.Stdout.dim},
		})
	}
	return rows
}

// branch draws the tree in front of row i of n.
func branch(i, n int) string {
	if i == n-1 {
		return "└─ "
	}
	return "├─ "
}

func (e *env) processPaint(state runner.State) func(string) string {
	switch state {
	case runner.Running:
		return e.Stdout.green
	case runner.Failed:
		return e.Stdout.red
	case runner.Stopped:
		return e.Stdout.dim
	}
	return e.Stdout.yellow
}

func number(noun string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d", noun, n)
}

func uptime(p supervisor.ProcessStatus) string {
	if p.UptimeMs == nil {
		return ""
	}
	return "up " + age(time.Duration(*p.UptimeMs)*time.Millisecond)
}

// processNotes are the things worth knowing about a process, most urgent first.
func (e *env) processNotes(p supervisor.ProcessStatus) string {
	var notes []string
	if p.State != runner.Running {
		notes = append(notes, exitText(p), p.LastError)
	}
	if p.GaveUp {
		notes = append(notes, "gave up")
	}
	notes = append(notes, e.retryText(p))
	if p.Restarts > 0 {
		notes = append(notes, plural(p.Restarts, "restart"))
	}
	if p.MemoryRestarts > 0 {
		notes = append(notes, plural(p.MemoryRestarts, "memory restart"))
	}
	if p.RSSBytes > 0 {
		notes = append(notes, fmt.Sprintf("%.0f MiB", float64(p.RSSBytes)/(1<<20)))
	}
	return joinPresent(notes)
}

// exitText is how the last instance ended.
func exitText(p supervisor.ProcessStatus) string {
	switch {
	case p.OOMKilled:
		return "killed by the kernel for its memory"
	case p.ExitSignal != nil && p.ExitSignal.Value != nil:
		return "killed by " + *p.ExitSignal.Value
	case p.ExitCode != nil && p.ExitCode.Value != nil:
		return fmt.Sprintf("exited with status %d", *p.ExitCode.Value)
	}
	return ""
}

func (e *env) retryText(p supervisor.ProcessStatus) string {
	at, err := time.Parse(time.RFC3339, p.RetryAt)
	if err != nil {
		return ""
	}
	return "next try in " + age(at.Sub(e.Now()))
}

// joinPresent joins what is not empty.
func joinPresent(list []string) string {
	var present []string
	for _, s := range list {
		if s != "" {
			present = append(present, s)
		}
	}
	return strings.Join(present, ", ")
}
