package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"rollbridge/socket"
	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

// lockInstance makes sure that no other daemon has the processes of this
// instance. Those of the direct runner belong to nobody else anyway.
func (d *daemon) lockInstance() (err error) {
	if !d.runner.outlives {
		return nil
	}
	places := config.PlacesOf(d.config.File, d.config.Application)
	if err := socket.PrivateDir(places.State); err != nil {
		return err
	}
	if d.lock, err = supervisor.TakeLock(places.Lock(), d.config.Application); err != nil {
		return err
	}
	return claimApplication(d.config)
}

// claimApplication makes sure that no other instance has the application.
func claimApplication(cfg *config.Config) error {
	if !config.DefaultOptions().IsInstance(cfg.File) {
		return nil
	}
	return supervisor.Claim{
		Dir:         filepath.Dir(config.PlacesOf(cfg.File, cfg.Application).State),
		Application: cfg.Application,
		File:        cfg.File,
		Holds:       func(file string) bool { return stillHas(file, cfg.Application) },
	}.Take()
}

// stillHas reports whether an application is that of the instance with that file:
// by the file, and of one that cannot be used it is; or since its daemon goes on
// with it whatever has become of the file. What a full disk or a power failure has
// left of a claim names no instance, and so keeps nobody from anything.
func stillHas(file, application string) bool {
	if !config.DefaultOptions().IsInstance(file) {
		return false
	}
	if supervisor.Running(config.PlacesOf(file, "").Lock()) == application {
		return true
	}
	cfg, err := config.Load(file)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return cfg.Application == application
}

// unfit is why a configuration cannot be used although nothing is wrong in it: its
// application is not the one that the instance has, or is that of another one.
// Other troubles with finding that out are for whoever locks the instance.
func unfit(cfg *config.Config) error {
	if !config.DefaultOptions().IsInstance(cfg.File) {
		return nil
	}
	state := cmp.Or(cfg.StatePath, config.PlacesOf(cfg.File, cfg.Application).StateFile())
	if err := supervisor.CheckState(state, cfg.Application); err != nil {
		return advised(err)
	}
	var told *control.Error
	if err := claimApplication(cfg); errors.As(err, &told) {
		return advised(told)
	}
	return nil
}

// advised adds to an error at the start of the daemon what can be done about it.
func advised(err error) error {
	var refused *socket.Error
	var known *control.Error
	switch {
	case errors.As(err, &refused):
		return failure(err, refused.Hint)
	case errors.As(err, &known):
		return failure(err, known.Hint)
	}
	return err
}

// statePaths are where the daemon remembers. The direct runner does only when
// it is told where.
func (d *daemon) statePaths() supervisor.StatePaths {
	if !d.runner.outlives {
		return supervisor.StatePaths{File: d.config.StatePath}
	}
	places := config.PlacesOf(d.config.File, d.config.Application)
	paths := supervisor.StatePaths{File: cmp.Or(d.config.StatePath, places.StateFile()), Active: places.ActiveConfig()}
	if before, err := inForce(d.config.File, paths.Active); err == nil {
		paths.Before = append(paths.Before, cmp.Or(before.StatePath, places.StateFile()))
	}
	return paths
}

// inForce reads the copy of the configuration in force, whose own place is file.
func inForce(file, copy string) (*config.Config, error) {
	source, err := os.ReadFile(copy)
	if err != nil {
		return nil, err
	}
	return config.LoadSource(file, source)
}

// loadForDaemon is load, but where the file is broken the configuration in force
// takes its place, as far as it is known without the file where that is: an edit
// must not keep a daemon from coming back. broken is what is wrong with the file.
func (e *env) loadForDaemon(o daemonOptions) (cfg *config.Config, broken, err error) {
	cfg, err = e.load(o.config)
	direct := cmp.Or(o.runner, e.Getenv("ROLLBRIDGE_RUNNER")) == "direct"
	if err == nil && !direct {
		err = unfit(cfg)
	}
	if err == nil || direct {
		return cfg, nil, err
	}
	file, findErr := e.configPath(o.config)
	if findErr != nil {
		return nil, nil, err
	}
	file = e.absolute(file)
	if !config.DefaultOptions().IsInstance(file) {
		return nil, nil, err
	}
	cfg, unusable := inForce(file, config.PlacesOf(file, "").ActiveConfig())
	if unusable == nil {
		unusable = unfit(cfg)
	}
	if unusable != nil {
		return nil, nil, err
	}
	return cfg, err, nil
}
