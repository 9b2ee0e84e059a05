package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

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
it. Warns about environment files that do not exist yet, and when systemd has
not read yet what changes for the units of the daemon. Asks no daemon.`,
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
	Config   *configSummary  `json:"config"` // null when there are issues
	Issues   config.Problems `json:"issues"`
	Path     *string         `json:"path"` // as given or found; null when there is none
	Valid    bool            `json:"valid"`
	Warnings config.Problems `json:"warnings,omitempty"`

	err error // why there is nothing to read positions from; nil when there is
}

type configSummary struct {
	Application string       `json:"application"`
	Processes   int          `json:"processes"`
	Proxy       proxySummary `json:"proxy"`
}

type proxySummary struct {
	Host   string   `json:"host"`
	Port   int      `json:"port"`
	Listen []string `json:"listen"` // all addresses
}

const loadFix = "make sure that the file exists, can be read and is YAML or JSON"

// validate reads the configuration at path, or the one found by default.
func (e *env) validate(given string) verdict {
	path, err := e.configPath(given)
	if err != nil {
		return unread(nil, err, "pass --config <path>, or add a rollbridge.yaml here")
	}
	cfg, err := config.Load(path)
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return verdict{Path: &path, Issues: named(problems, path)}
	case errors.Is(err, fs.ErrPermission):
		return unread(&path, err, accessHint(path, toRead))
	case err != nil:
		return unread(&path, err, loadFix)
	}
	if namesakes := cfg.Namesakes(); len(namesakes) > 0 {
		return verdict{Path: &path, Issues: named(namesakes, path)}
	}
	summary := configSummary{cfg.Application, len(cfg.Processes), proxySummary{cfg.Proxy.Host, cfg.Proxy.Port, cfg.Proxy.Listen}}
	return verdict{Path: &path, Issues: config.Problems{}, Valid: true, Config: &summary, Warnings: named(append(cfg.Warnings(), staleUnits(cfg, generated)...), path)}
}

// named gives problems the path of the file as it was given.
func named(problems config.Problems, path string) config.Problems {
	for i := range problems {
		problems[i].File = path
	}
	return problems
}

// unread is the verdict on a file that could not be read: one issue.
func unread(path *string, err error, fix string) verdict {
	return verdict{Path: path, Issues: config.Problems{{Message: err.Error(), Fix: fix}}, err: err}
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
// not or may not stay so.
func (e *env) writeVerdict(v verdict) error {
	switch {
	case v.Valid:
		for _, w := range v.Warnings {
			fmt.Fprintf(e.Stderr, "warning: %s:%d:%d: %s\nhint: %s\n", w.File, w.Line, w.Column, w.Message, w.Fix)
		}
		_, err := fmt.Fprintf(e.Stdout, "%s is valid: %s, proxy on %s.\n", *v.Path, processCount(v.Config.Processes), strings.Join(v.Config.Proxy.Listen, ", "))
		return err
	case v.Path == nil:
		return v.err
	case v.err != nil:
		fmt.Fprintf(e.Stderr, "Found 1 configuration issue in %s:\n\n1. %s\n   Fix: %s\n", *v.Path, v.Issues[0].Message, v.Issues[0].Fix)
	case e.Stderr.terminal:
		v.Issues.WriteText(e.Stderr, e.Stderr.colours)
	default:
		v.Issues.WritePlain(e.Stderr)
	}
	return v.exit()
}

func processCount(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
