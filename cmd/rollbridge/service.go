package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
	"rollbridge/supervisor/systemd"
	"rollbridge/unitgen"
)

// A service is the unit that the daemon of an instance runs as where rollbridge
// is installed as a package; its sockets are units too, and start it.
type service struct {
	unitgen.DaemonUnits      // empty when the configuration is that of no instance
	user                bool // of the calling user's systemd, else of the host's

	// look reads a unit that is loaded, load one that has a file.
	look, load func(ctx context.Context, unit string) (systemd.UnitState, error)
}

// serviceFor is the service of the daemon with that configuration.
func serviceFor(file string) service {
	s := service{user: filepath.Dir(file) != config.InstanceDir}
	if !s.user || config.DefaultOptions().IsInstance(file) && os.Geteuid() != 0 {
		s.DaemonUnits = unitsOf(file)
	}
	s.look = s.asking(systemd.ReadUnit)
	s.load = s.asking(systemd.LoadUnit)
	return s
}

// hostUnits are the units of the daemon of an instance of the host; empty when the
// configuration is none of these.
func hostUnits(file string) unitgen.DaemonUnits {
	if filepath.Dir(file) != config.InstanceDir {
		return unitgen.DaemonUnits{}
	}
	return unitsOf(file)
}

// unitsOf are the units of the daemon of an instance; empty when it can have none.
func unitsOf(file string) unitgen.DaemonUnits {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if !unitgen.IsUnitInstance(name) {
		return unitgen.DaemonUnits{}
	}
	return unitgen.DaemonUnitsOf(name)
}

// asking asks systemd, if there is something to ask about.
func (s service) asking(read func(context.Context, systemd.Options, string) (systemd.UnitState, error)) func(context.Context, string) (systemd.UnitState, error) {
	return func(ctx context.Context, unit string) (systemd.UnitState, error) {
		if !s.isInstance() || !systemd.Booted() {
			return systemd.UnitState{}, systemd.ErrNoUnit
		}
		ctx, cancel := context.WithTimeout(ctx, askPatience)
		defer cancel()
		return read(ctx, systemd.Options{User: s.user}, unit)
	}
}

// isInstance reports whether there may be units at all.
func (s service) isInstance() bool { return s.Service != "" }

// systemctl is a command for the user to type.
func (s service) systemctl(words string) string {
	if s.user {
		return "`systemctl --user " + words + "`"
	}
	return "`systemctl " + words + "`"
}

// resting reports whether a unit is down, and stays down as far as it is known.
func resting(u systemd.UnitState) bool {
	return u.ActiveState == "inactive" || u.ActiveState == "failed"
}

// asleep reports whether systemd would start the daemon if somebody connected to
// its control socket, and in what state it is. Where systemd cannot tell, it is
// not: then connecting is the way to find out.
func (s service) asleep(ctx context.Context) (daemon systemd.UnitState, asleep bool) {
	if !s.isInstance() {
		return daemon, false
	}
	daemon, err := s.look(ctx, s.Service)
	if err != nil || !resting(daemon) {
		return daemon, false
	}
	control, err := s.look(ctx, s.Control)
	return daemon, err == nil && !resting(control)
}

// stopped is the error of a question to a daemon that is asleep.
func (s service) stopped(ctx context.Context, daemon systemd.UnitState) error {
	if err := s.deaf(ctx); err != nil {
		return err
	}
	hint := s.systemctl("start "+s.Service) + " starts it"
	if daemon.ActiveState == "failed" {
		hint = s.systemctl("status "+s.Service) + " tells why"
	}
	return &fault{err: fmt.Errorf("%w: %s is %s", control.ErrNoDaemon, s.Service, daemon.ActiveState), hint: hint, code: exitNoDaemon}
}

// deaf is the error of a daemon whose socket for traffic systemd could not make:
// it cannot be started before that is mended, whoever connects. Else nil.
func (s service) deaf(ctx context.Context) error {
	if !s.isInstance() {
		return nil
	}
	socket, err := s.look(ctx, s.Proxy)
	if err != nil || socket.ActiveState != "failed" {
		return nil
	}
	return &fault{
		err:  fmt.Errorf("%w: %s has failed", control.ErrNoDaemon, s.Proxy),
		hint: s.systemctl("status "+s.Proxy) + " tells why: often another program has the address. When that is mended, " + s.systemctl("restart "+s.Proxy),
		code: exitNoDaemon,
	}
}

// ends reports whether systemd knows that the daemon is being stopped: then it
// takes no connections any more, and one that waits would start it again.
func (s service) ends(ctx context.Context) bool {
	if !s.isInstance() {
		return false
	}
	daemon, err := s.look(ctx, s.Service)
	return err == nil && daemon.ActiveState == "deactivating"
}

// installed reports whether systemd has a unit for the daemon, and by which one it
// is started: that of its sockets, or where somebody has written a unit without
// these, its own. The error is why systemd cannot.
func (s service) installed(ctx context.Context) (starter string, there bool, err error) {
	if !s.isInstance() {
		return "", false, nil
	}
	daemon, err := s.load(ctx, s.Service)
	if err != nil {
		return "", false, nil // no such unit, or no systemd to ask
	}
	socket, err := s.load(ctx, s.Proxy)
	switch {
	case errors.Is(err, systemd.ErrNoUnit):
		return s.Service, true, s.unusable(s.Service, daemon)
	case err != nil:
		return "", false, nil
	}
	return s.Proxy, true, cmp.Or(s.unusable(s.Service, daemon), s.unusable(s.Proxy, socket))
}

// unusable is why systemd cannot start a unit.
func (s service) unusable(name string, unit systemd.UnitState) error {
	switch unit.LoadState {
	case "loaded":
		return nil
	case "masked":
		return complaint(name+" is masked: whoever did that does not want it to run", s.systemctl("unmask "+name)+" takes it back")
	case "bad-setting": // a socket without an address: the generator has not seen the configuration
		return complaint(name+" has no address yet", s.systemctl("daemon-reload")+" reads it from the configuration, then "+s.systemctl("start "+name))
	}
	return complaint(fmt.Sprintf("systemd cannot use %s: %s", name, unit.LoadState), s.systemctl("status "+name)+" tells more")
}
