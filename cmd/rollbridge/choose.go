package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
	"rollbridge/supervisor/runner"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// A chosenRunner is what keeps processes running.
type chosenRunner struct {
	runner.Runner
	reason   string // why it is the direct one, when nobody asked for that
	outlives bool   // its processes outlive the daemon
	leaves   stopKind
	// stayDown has the daemon's own unit stopped after this one has ended.
	stayDown func(context.Context) error
	close    func()
}

// chooseRunner makes the runner that the option, else the environment, asks
// for. Without a wish it is systemd where a usable one runs, else direct.
func (e *env) chooseRunner(ctx context.Context, o daemonOptions, cfg *config.Config, note noter) (*chosenRunner, error) {
	switch o.runner {
	case "", "auto":
		if unusable := systemdUsable(ctx, o.user); unusable != nil {
			return directRunner(unusable.Error())
		}
		return systemdRunner(ctx, o.user, cfg, note)
	case "direct":
		return directRunner("")
	case "systemd":
		if unusable := systemdUsable(ctx, o.user); unusable != nil {
			return nil, failure(fmt.Errorf("the systemd runner cannot be used: %w", unusable), withoutSystemd(unusable, o.user))
		}
		return systemdRunner(ctx, o.user, cfg, note)
	}
	return nil, usageFault("ROLLBRIDGE_RUNNER must be one of: auto, systemd, direct.", "")
}

// withoutSystemd is what to do where systemd cannot be used.
func withoutSystemd(unusable error, user bool) string {
	var known *systemd.Unusable
	switch {
	case errors.As(unusable, &known) && known.Hint != "":
		return known.Hint
	case user:
		return "without --user, and with --runner direct, processes run as children of the daemon, and end with it"
	}
	return "with --runner direct processes run as children of the daemon, and end with it"
}

type noter func(message string, data map[string]any)

func directRunner(reason string) (*chosenRunner, error) {
	direct, err := runner.NewDirect()
	if err != nil {
		return nil, err
	}
	return &chosenRunner{
		Runner: direct, reason: reason,
		leaves:   stopEverything,
		stayDown: func(context.Context) error { return nil },
		close:    direct.Close,
	}, nil
}

// systemdUsable says why there is no systemd for us.
func systemdUsable(ctx context.Context, user bool) error {
	if err := systemd.Detect(ctx, systemd.Options{User: user}); err != nil {
		return err
	}
	_, err := gateProgram()
	return err
}

// systemdRunner connects with the service manager.
func systemdRunner(ctx context.Context, user bool, cfg *config.Config, note noter) (*chosenRunner, error) {
	program, err := gateProgram()
	if err != nil {
		return nil, err
	}
	gates := gatesDir(cfg)
	if err := os.MkdirAll(filepath.Dir(gates), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of definitions: %w", err)
	}
	bus, err := systemd.Dial(ctx, systemd.Options{User: user, OnChange: noteConnection(note)})
	if err != nil {
		return nil, err
	}
	unit := ownUnit(os.Getenv)
	return &chosenRunner{
		Runner: runner.NewSystemd(runner.SystemdOptions{
			Bus: bus, Application: cfg.Application, Gates: gate.Dir(gates), Journal: runner.NewJournal(systemd.OpenJournal()),
			Host: unitgen.Host{Version: bus.Version(), Program: program, Gates: gates, DaemonUnit: unit, User: user},
		}),
		outlives: true,
		leaves:   byOwnJob(bus, unit),
		stayDown: func(ctx context.Context) error {
			return stopForGood(ctx, bus, unit)
		},
		close: bus.Close,
	}, nil
}

// stopForGood has systemd stop the daemon's own unit, and the sockets that would
// start it again.
func stopForGood(ctx context.Context, bus *systemd.Bus, unit string) error {
	if unit == "" {
		return nil
	}
	state, err := bus.Unit(ctx, unit)
	errs := []error{err}
	for _, starter := range append(state.TriggeredBy, unit) {
		errs = append(errs, bus.StopLater(ctx, starter))
	}
	return errors.Join(errs...)
}

// gatesDir is the directory of the definition files.
func gatesDir(cfg *config.Config) string {
	return filepath.Join(config.PlacesOf(cfg.File, cfg.Application).Run, "exec")
}

func noteConnection(note noter) func(connected bool, err error) {
	return func(connected bool, err error) {
		if connected {
			note("systemd connected again", map[string]any{})
			return
		}
		note("systemd connection lost", map[string]any{"error": fmt.Sprint(err)})
	}
}

// gateProgram is the program that units execute. Its path stands in unit files,
// where systemd would read some characters as its own.
func gateProgram() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where this program lies is not known: %w", err)
	}
	if strings.Trim(path, unitSafe) != "" {
		return "", fmt.Errorf("the path of this program, %q, holds characters that unit files do not keep; move it to one of letters, digits and /._-+", path)
	}
	return path, nil
}

const unitSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+"
