package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/runner"
)

func listCommand() *command {
	var asJSON bool
	timeout := listPatience
	return &command{
		name:     "list",
		synopsis: "[options]",
		short:    "Show all instances on this host",
		long: `Shows every instance: those of the host, with a configuration in
/etc/rollbridge, and those of the calling user, in ~/.config/rollbridge. Asks
all daemons at once; one that does not answer keeps nobody waiting beyond the
time-out, and one that is stopped stays so.`,
		example: "rollbridge list",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&asJSON, "json", false, "print JSON")
			f.DurationVar(&timeout, "timeout", timeout, "<duration> how long to wait for each answer (default "+timeout.String()+")")
		},
		run: func(ctx context.Context, e *env, _ []string) error { return e.list(ctx, asJSON, timeout) },
	}
}

const (
	listPatience = 5 * time.Second
	listAtOnce   = 16 // daemons are asked
)

// What is known of an instance.
const (
	stateRunning = "running"
	stateStopped = "stopped"
	stateFailed  = "failed" // its daemon ended, or its socket could not be made, and systemd does not start it again
	stateBroken  = "broken" // its configuration cannot be used, so that nothing runs
	stateDenied  = "denied" // this user may not ask
	stateSilent  = "no answer"
)

// An instanceStatus is a row of the list. What is not known is left out.
type instanceStatus struct {
	Instance        string          `json:"instance"`
	Own             bool            `json:"own"` // of the calling user, else of the host
	Config          string          `json:"config"`
	Application     string          `json:"application,omitempty"`
	State           string          `json:"state"`
	ActiveReleaseID *string         `json:"activeReleaseId"` // null when there is none, or it is not known
	ActivatedAt     string          `json:"activatedAt,omitempty"`
	Proxy           string          `json:"proxy,omitempty"` // addresses
	Processes       *processFigures `json:"processes,omitempty"`
	Operation       string          `json:"operation,omitempty"` // the one under way
	Problems        []string        `json:"problems"`
}

// processFigures count the processes that should run: of the active release, and
// of the daemon.
type processFigures struct {
	Running int `json:"running"`
	Total   int `json:"total"`
}

// list shows all instances. Only one that could not be asked is a failure: what
// the others tell is not the list's.
func (e *env) list(ctx context.Context, asJSON bool, timeout time.Duration) error {
	rows := askAll(ctx, config.Instances(), timeout)
	if err := e.printList(rows, asJSON); err != nil {
		return err
	}
	for _, row := range rows {
		if row.State == stateDenied || row.State == stateSilent {
			return errSaid{exitFailed}
		}
	}
	return nil
}

func (e *env) printList(rows []instanceStatus, asJSON bool) error {
	if asJSON {
		text, err := marshal(struct {
			Instances []instanceStatus `json:"instances"`
		}{rows})
		if err != nil {
			return err
		}
		return e.printJSON(text)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "There are no instances: no configuration in /etc/rollbridge or ~/.config/rollbridge.")
		return err
	}
	return e.writeList(rows)
}

// askAll asks a bounded number of daemons at once, and keeps the order.
func askAll(ctx context.Context, instances []config.Instance, timeout time.Duration) []instanceStatus {
	answers := make([]*instanceStatus, len(instances))
	var asking sync.WaitGroup
	turns := make(chan struct{}, listAtOnce)
	for i, instance := range instances {
		asking.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			answers[i] = askInstance(ctx, instance, timeout)
		})
	}
	asking.Wait()
	rows := []instanceStatus{}
	for _, answer := range answers {
		if answer != nil {
			rows = append(rows, *answer)
		}
	}
	return rows
}

// askInstance asks one daemon; nil when there is neither a configuration nor a
// daemon.
func askInstance(ctx context.Context, i config.Instance, timeout time.Duration) *instanceStatus {
	row := &instanceStatus{Instance: i.Name, Own: i.Own, Config: i.File, Problems: []string{}}
	socket := config.PlacesOf(i.File, "").Control
	r := &remote{config: &config.Config{File: i.File}, socket: socket, service: serviceFor(i.File), timeout: timeout, pulse: usualPulse}
	if !i.Gone {
		row.read(r)
	}
	st, _, err := call[supervisor.StatusResult](ctx, r, "status", supervisor.StatusArgs{WithoutLogs: true}, nil)
	switch {
	case err == nil:
		row.running(st)
	case i.Gone && absent(err):
		return nil
	default:
		row.notRunning(ctx, r, err)
	}
	return row
}

// read takes from the configuration what a daemon that is not there cannot tell.
// One that this user cannot read is nothing wrong with the instance.
func (row *instanceStatus) read(r *remote) {
	cfg, err := config.Load(r.config.File)
	var problems config.Problems
	switch {
	case err == nil:
		r.config, r.socket = cfg, cfg.Control.Path
		row.Application, row.Proxy = cfg.Application, strings.Join(cfg.Proxy.Listen, ", ")
	case errors.As(err, &problems):
		r.unread = err
		row.Problems = append(row.Problems, fmt.Sprintf("line %d: %s", problems[0].Line, problems[0].Message))
	}
}

// running takes what a daemon tells.
func (row *instanceStatus) running(st supervisor.StatusResult) {
	row.State, row.Application, row.Config = stateRunning, st.Application, st.Config
	if st.Runner == "" { // it only tells what is wrong with its configuration
		row.State = stateBroken
	}
	row.Proxy = strings.Join(st.Proxy.Listen, ", ")
	row.ActiveReleaseID = st.ActiveReleaseID
	row.Problems = append(row.Problems, st.Problems...)
	if st.Operation != nil {
		row.Operation = st.Operation.Command
	}
	row.Processes = &processFigures{}
	for _, r := range st.Releases {
		if r.State == "active" {
			row.ActivatedAt = r.ActivatedAt
			for _, p := range r.Processes {
				row.count(p)
			}
		}
	}
	for _, owned := range append(st.Services, st.Singletons...) {
		row.count(owned.Process)
	}
}

// count counts a process, and tells what is wrong with it.
func (row *instanceStatus) count(p supervisor.ProcessStatus) {
	row.Processes.Total++
	if p.State == runner.Running {
		row.Processes.Running++
		return
	}
	text := p.ID + " is " + string(p.State)
	if p.GaveUp {
		text = p.ID + " gave up"
	}
	row.Problems = append(row.Problems, text)
}

// notRunning says why a daemon tells nothing.
func (row *instanceStatus) notRunning(ctx context.Context, r *remote, err error) {
	var told *control.Error
	daemon, lookErr := r.service.look(ctx, r.service.Service)
	switch {
	case absent(err) && lookErr == nil && daemon.ActiveState == "failed":
		row.State = stateFailed
	case absent(err) && r.service.deaf(ctx) != nil:
		row.State = stateFailed
		row.Problems = append(row.Problems, r.service.Proxy+" has failed")
	case absent(err) && lookErr == nil && daemon.ActiveState == "active": // at a control.path, say, that this user may not read
		row.State = stateSilent
		row.Problems = append(row.Problems, r.service.Service+" runs, but nobody answers at "+r.socket)
	case absent(err) && r.unread != nil:
		row.State = stateBroken
	case absent(err):
		row.State = stateStopped
	case errors.Is(err, errBarred):
		row.State = stateDenied
		row.Problems = append(row.Problems, err.Error())
	case errors.As(err, &told):
		row.State = stateRunning // but too busy, say
		row.Problems = append(row.Problems, err.Error())
	default:
		row.State = stateSilent
		row.Problems = append(row.Problems, err.Error())
	}
}

// writeList writes the list for people.
func (e *env) writeList(rows []instanceStatus) error {
	table := make([][]cell, 1, 1+len(rows))
	for _, column := range []string{"INSTANCE", "APPLICATION", "STATE", "RELEASE", "PROXY", "PROCESSES", "PROBLEM"} {
		table[0] = append(table[0], cell{column, e.Stdout.dim})
	}
	for _, row := range rows {
		table = append(table, []cell{
			{printable(row.name()), e.Stdout.bold},
			{printable(row.Application), nil},
			{row.State, e.statePaint(row.State)},
			{printable(e.releaseSince(row)), nil},
			{printable(row.Proxy), nil},
			{row.Processes.String(), row.Processes.paint(e.Stdout)},
			{printable(row.problem()), e.Stdout.yellow},
		})
	}
	return e.Stdout.writeTable(table)
}

// name is the instance, marked when it is not the host's.
func (row instanceStatus) name() string {
	if row.Own {
		return row.Instance + " (own)"
	}
	return row.Instance
}

// problem is the first one in one line, and how many more there are.
func (row instanceStatus) problem() string {
	if len(row.Problems) == 0 {
		return ""
	}
	text := strings.Join(strings.Fields(row.Problems[0]), " ")
	if more := len(row.Problems) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// releaseSince is the active release and for how long it is, or what is being
// done about that.
func (e *env) releaseSince(row instanceStatus) string {
	text := ""
	switch {
	case row.ActiveReleaseID != nil:
		text = *row.ActiveReleaseID
		if since := e.since(row.ActivatedAt); since != "" {
			text += ", " + since
		}
	case row.State == stateRunning:
		text = "none"
	}
	if row.Operation != "" {
		text += ", " + row.Operation + " under way"
	}
	return text
}

func (e *env) statePaint(state string) func(string) string {
	switch state {
	case stateRunning:
		return e.Stdout.green
	case stateStopped:
		return e.Stdout.dim
	case stateFailed, stateBroken:
		return e.Stdout.red
	}
	return e.Stdout.yellow
}

func (f *processFigures) String() string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%d/%d", f.Running, f.Total)
}

func (f *processFigures) paint(s *screen) func(string) string {
	if f != nil && f.Running < f.Total {
		return s.yellow
	}
	return nil
}
