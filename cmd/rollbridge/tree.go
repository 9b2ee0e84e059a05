package main

import (
	"fmt"
	"strings"
	"time"

	"rollbridge/supervisor"
	"rollbridge/supervisor/runner"
)

// releaseBlock tells about one release and its processes; of a stopped one,
// only about processes that are left.
func (e *env) releaseBlock(r supervisor.ReleaseStatus) block {
	b := block{title: e.releaseTitle(r)}
	var left []supervisor.ProcessStatus
	for _, p := range r.Processes {
		if r.State != "stopped" || p.State != runner.Stopped {
			left = append(left, p)
		}
	}
	b.rows = e.processRows(left)
	return b
}

func (e *env) releaseTitle(r supervisor.ReleaseStatus) []cell {
	name := r.ReleaseID
	if r.Generation > 1 {
		name += fmt.Sprintf(" (generation %d)", r.Generation)
	}
	if r.Revision != r.ReleaseID && r.Revision != "" {
		name += " revision " + r.Revision
	}
	return []cell{
		{printable(name), e.Stdout.bold},
		{e.releaseState(r), e.releasePaint(r.State)},
		{connectionText(r), nil},
		{printable(r.ReleasePath), e.Stdout.dim},
	}
}

// releaseState is the state and since when: "draining for 4 s".
func (e *env) releaseState(r supervisor.ReleaseStatus) string {
	stamp, words := r.ActivatedAt, "%s for %s"
	switch r.State {
	case "draining":
		stamp = r.DrainStartedAt
	case "stopped":
		stamp, words = r.StoppedAt, "%s %s ago"
	}
	since := e.since(stamp)
	if since == "" {
		return r.State
	}
	return fmt.Sprintf(words, r.State, since)
}

func (e *env) releasePaint(state string) func(string) string {
	switch state {
	case "active":
		return e.Stdout.green
	case "draining", "starting":
		return e.Stdout.yellow
	}
	return e.Stdout.dim
}

// connectionText says what is open: "3 http, 2 websocket".
func connectionText(r supervisor.ReleaseStatus) string {
	open := r.Connections
	if r.State == "stopped" && open.HTTP+open.WebSocket == 0 {
		return ""
	}
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
