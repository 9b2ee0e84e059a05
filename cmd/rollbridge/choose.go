package main

import (
	"context"
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

// A chosenRunner is what keeps processes running, and why it was chosen when
// nobody asked for it.
type chosenRunner struct {
	runner.Runner
	reason string // why it is the direct one; "" when it was asked for
	close  func()
}

// chooseRunner makes the runner that the option, else the environment, asks
// for. Without a wish it is systemd where a usable one runs, else direct.
func chooseRunner(ctx context.Context, e *env, kind string, user bool, cfg *config.Config, note func(string, map[string]any)) (*chosenRunner, error) {
	if kind == "" {
		kind = e.Getenv("ROLLBRIDGE_RUNNER")
	}
	switch kind {
	case "", "auto":
		c, unusable, err := systemdRunner(ctx, user, cfg, note)
		if unusable == nil {
			return c, err
		}
		return directRunner(unusable.Error())
	case "direct":
		return directRunner("")
	case "systemd":
		c, unusable, err := systemdRunner(ctx, user, cfg, note)
		if unusable != nil {
			return nil, failure(fmt.Errorf("the systemd runner cannot be used: %w", unusable),
				"mend that, or use --runner direct: then processes end with the daemon")
		}
		return c, err
	}
	return nil, usageFault("ROLLBRIDGE_RUNNER must be one of: auto, systemd, direct.", "")
}

func directRunner(reason string) (*chosenRunner, error) {
	direct, err := runner.NewDirect()
	if err != nil {
		return nil, err
	}
	return &chosenRunner{Runner: direct, reason: reason, close: direct.Close}, nil
}

// systemdRunner connects with the service manager; unusable is why there is
// none for us.
func systemdRunner(ctx context.Context, user bool, cfg *config.Config, note func(string, map[string]any)) (c *chosenRunner, unusable, err error) {
	if os.Geteuid() != 0 && !user {
		return nil, fmt.Errorf("the daemon runs as uid %d; --user makes it use that user's own systemd", os.Geteuid()), nil
	}
	if err := systemd.Detect(ctx, systemd.Options{User: user}); err != nil {
		return nil, err, nil
	}
	program, err := gateProgram()
	if err != nil {
		return nil, err, nil
	}
	bus, err := systemd.Dial(ctx, systemd.Options{User: user, OnChange: func(connected bool, err error) {
		if connected {
			note("systemd connected", map[string]any{})
			return
		}
		note("systemd connection lost", map[string]any{"error": fmt.Sprint(err)})
	}})
	if err != nil {
		return nil, err, nil
	}
	gates := filepath.Join(config.PlacesOf(cfg.File, cfg.Application).Run, "exec")
	if err := os.MkdirAll(filepath.Dir(gates), 0o755); err != nil {
		bus.Close()
		return nil, nil, fmt.Errorf("make the directory of definitions: %w", err)
	}
	return &chosenRunner{
		Runner: runner.NewSystemd(runner.SystemdOptions{
			Bus: bus, Application: cfg.Application, Gates: gate.Dir(gates),
			Host: unitgen.Host{Version: bus.Version(), Program: program, Gates: gates, DaemonUnit: ownUnit(), User: user},
		}),
		close: bus.Close,
	}, nil, nil
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

// ownUnit is the service that this daemon is the main process of, "" for none.
func ownUnit() string {
	if os.Getenv("INVOCATION_ID") == "" {
		return ""
	}
	lines, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(lines)) {
		path, unified := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if name := filepath.Base(path); unified && strings.HasSuffix(name, ".service") {
			return name
		}
	}
	return ""
}
