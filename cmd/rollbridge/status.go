package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

func statusCommand() *command {
	var t target
	var o format
	var all bool
	return &command{
		name:     "status",
		synopsis: "[options]",
		short:    "Show what runs: releases, processes, connections",
		long: `Shows the daemon, the active release and those that still drain, the services
and singletons, with their processes, ages, restarts and open connections. With
--all it is the command list: a line for each instance on this host.`,
		example: "rollbridge status",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&all, "all", false, "all instances on this host, like the command list")
			t.flags(f, quick)
			o.flags(f)
		},
		run: func(ctx context.Context, e *env, _ []string) error {
			if all {
				if t.config != "" {
					return usageFault("--all and --config exclude each other", "")
				}
				if err := o.check(); err != nil {
					return err
				}
				return e.list(ctx, !o.wantsText(e.Stdout), t.timeout)
			}
			r, err := t.reach(e, o)
			if err != nil {
				return err
			}
			st, raw, err := insist[supervisor.StatusResult](ctx, e, r, nil, "status", supervisor.StatusArgs{WithoutLogs: o.wantsText(e.Stdout)})
			if err != nil {
				return err
			}
			return e.print(o, raw, func() error { return e.writeStatus(st) })
		},
	}
}

// writeStatus writes the state of everything, for people.
func (e *env) writeStatus(st supervisor.StatusResult) error {
	blocks := []block{e.daemonBlock(st)}
	for _, r := range living(st.Releases) {
		blocks = append(blocks, e.releaseBlock(r))
	}
	blocks = append(blocks,
		e.ownedBlock("services", st.Services),
		e.ownedBlock("singletons", st.Singletons),
		e.stoppedBlock(st.Releases),
		e.orphanBlock(st.Orphans))
	return e.Stdout.writeBlocks(blocks)
}

// daemonBlock tells about the daemon itself.
func (e *env) daemonBlock(st supervisor.StatusResult) block {
	b := block{title: []cell{{printable(st.Application), e.Stdout.bold}}}
	add := func(key, value string) {
		b.rows = append(b.rows, []cell{{"  " + key, e.Stdout.dim}, {printable(value), nil}})
	}
	add("proxy", proxyText(st))
	add("daemon", fmt.Sprintf("pid %d, up %s, rollbridge %s, %s", st.PID, e.since(st.StartedAt), st.DaemonRuntime.Version, runnerText(st)))
	add("config", st.Config)
	add("control", st.Control.Path)
	for _, problem := range st.Problems {
		b.rows = append(b.rows, []cell{{"  problem", e.Stdout.red}, {printable(problem), nil}})
	}
	if st.Operation != nil {
		add("under way", e.operationText(*st.Operation))
	}
	return b
}

// runnerText is the runner, and why it is that one when nobody has chosen it.
func runnerText(st supervisor.StatusResult) string {
	if st.Runner == "" { // see unconfigured.go
		return "without a configuration"
	}
	text := st.Runner + " runner"
	if st.RunnerReason != "" {
		text += " (" + st.RunnerReason + ")"
	}
	return text
}

func proxyText(st supervisor.StatusResult) string {
	text := strings.Join(st.Proxy.Listen, ", ")
	if text == "" { // a daemon that knows one address
		text = net.JoinHostPort(st.Proxy.Host, strconv.Itoa(st.Proxy.Port))
	}
	if st.ActiveReleaseID == nil {
		text += ", no active release"
	}
	if st.Proxy.Held > 0 {
		text += ", " + plural(st.Proxy.Held, "request") + " waiting"
	}
	return text
}

// operationText says who does what since when.
func (e *env) operationText(o supervisor.Operation) string {
	text := o.Command
	if o.Release != "" {
		text += " " + o.Release
	}
	if o.Phase != "" {
		text += " (" + o.Phase + ")"
	}
	if since := e.since(o.Since); since != "" {
		text += " for " + since
	}
	if o.PeerPID != 0 {
		text += fmt.Sprintf(", asked for by uid %d (pid %d)", o.PeerUID, o.PeerPID)
	}
	return text
}

// plural is "1 request", "2 requests".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
