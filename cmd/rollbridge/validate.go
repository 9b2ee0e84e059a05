package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"rollbridge/supervisor/config"
)

func validateCommand() *command {
	var path string
	var asJSON bool
	return &command{
		name:     "validate",
		synopsis: "[options]",
		short:    "Check the configuration",
		long: `Reads the configuration and names every mistake, with its place and how to mend
it. Asks no daemon.`,
		example: "rollbridge validate --config rollbridge.yaml",
		flags: func(f *pflag.FlagSet) {
			configFlag(f, &path)
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(_ context.Context, e *env, _ []string) error {
			check := e.validate(path)
			if asJSON {
				return e.printVerdict(check)
			}
			return e.writeVerdict(check)
		},
	}
}

// A verdict is what there is to say about a configuration file.
type verdict struct {
	Config *configSummary `json:"config"` // null when there are issues
	Issues []issue        `json:"issues"`
	Path   *string        `json:"path"` // as given or found; null when there is none
	Valid  bool           `json:"valid"`

	problems config.Problems // with positions; nil when it could not be read at all
	err      error           // why there is no file to read
}

type configSummary struct {
	Application string       `json:"application"`
	Processes   int          `json:"processes"`
	Proxy       proxySummary `json:"proxy"`
}

type proxySummary struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// issue is one mistake. The place is added to what scripts know.
type issue struct {
	Fix     string `json:"fix"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
}

const loadFix = "make sure that the file exists, can be read and is YAML or JSON"

// validate reads the configuration at path, or the one found by default.
func (e *env) validate(given string) verdict {
	path, err := e.configPath(given)
	if err != nil {
		return verdict{Issues: []issue{{Message: err.Error(), Fix: "pass --config <path>, or add a rollbridge.yaml here"}}, err: err}
	}
	cfg, err := config.Load(e.absolute(path))
	v := verdict{Path: &path, Issues: []issue{}}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		v.problems = problems
		v.Issues = issues(problems)
	case err != nil:
		v.Issues = []issue{{Message: err.Error(), Fix: loadFix}}
	default:
		v.Valid = true
		v.Config = &configSummary{cfg.Application, len(cfg.Processes), proxySummary{cfg.Proxy.Host, cfg.Proxy.Port}}
	}
	return v
}

func issues(problems config.Problems) []issue {
	var list []issue
	for _, p := range problems {
		list = append(list, issue{Fix: p.Fix, Message: p.Message, File: p.File, Line: p.Line, Column: p.Column, Key: p.Path})
	}
	return list
}

func (e *env) printVerdict(v verdict) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	if err := e.printJSON(text); err != nil {
		return err
	}
	return v.exit()
}

// exit is nil for a valid configuration.
func (v verdict) exit() error {
	if v.Valid {
		return nil
	}
	return errSaid{exitFailed}
}

// writeVerdict says it in words: on stdout that all is well, on stderr what is
// not.
func (e *env) writeVerdict(v verdict) error {
	if v.err != nil {
		return v.err
	}
	if v.Valid {
		_, err := fmt.Fprintf(e.Stdout, "%s is valid: %s, proxy on %s:%d.\n", *v.Path, processCount(v.Config.Processes), v.Config.Proxy.Host, v.Config.Proxy.Port)
		return err
	}
	if v.problems != nil && e.Stderr.terminal {
		if err := v.problems.WriteText(e.Stderr); err != nil {
			return err
		}
		return v.exit()
	}
	writeIssues(e.Stderr, *v.Path, v.Issues)
	return v.exit()
}

func processCount(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// writeIssues lists issues for scripts and logs.
func writeIssues(w io.Writer, path string, list []issue) {
	fmt.Fprintf(w, "Found %s in %s:\n", plural(len(list), "configuration issue"), path)
	for i, it := range list {
		fmt.Fprintf(w, "\n%d. %s\n   Fix: %s\n", i+1, it.Message, it.Fix)
		if it.Line > 0 {
			fmt.Fprintf(w, "   At: %s:%d:%d\n", it.File, it.Line, it.Column)
		}
	}
}
