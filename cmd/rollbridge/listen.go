package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rollbridge/socket"
	"rollbridge/socket/control"
	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

// listen takes the sockets that systemd has passed. Without any it binds its
// own, whose rights hold from the first moment.
func (d *daemon) listen(ctx context.Context) error {
	units := passedBy(d.config.File)
	passed, err := socket.TakeActivated(units)
	if err != nil {
		return advised(err)
	}
	if passed == nil {
		return d.bind(ctx)
	}
	d.proxyListeners, d.controlListener = passed.Proxy, passed.Control
	d.sockets = &supervisor.Sockets{Differ: d.socketsDiffer, Renew: renew(units)}
	return nil
}

// passedBy are the units that pass an instance of the host its sockets.
func passedBy(file string) socket.Units {
	units := hostUnits(file)
	return socket.Units{Proxy: units.Proxy, Control: units.Control}
}

// renew is the command after which systemd listens as the configuration says:
// the sockets' units are generated from it.
func renew(units socket.Units) string {
	if units.Proxy == "" {
		return "systemctl daemon-reload && systemctl restart the socket units, once ListenStream= there says the same"
	}
	return "systemctl daemon-reload && systemctl restart " + units.Proxy
}

// lookupTime bounds how long names in addresses are looked up.
const lookupTime = 2 * time.Second

// socketsDiffer says in what the sockets that systemd has passed are not those
// of a configuration.
func (d *daemon) socketsDiffer(cfg *config.Config) string {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	var differences []string
	add := func(missing, extra []string, key string) {
		switch {
		case len(missing) == 0 && len(extra) == 0:
		case len(extra) == 0:
			differences = append(differences, fmt.Sprintf("systemd does not listen on %s, which is in %s", list(missing), key))
		case len(missing) == 0:
			differences = append(differences, fmt.Sprintf("systemd listens on %s, which is not in %s", list(extra), key))
		default:
			differences = append(differences, fmt.Sprintf("systemd listens on %s, not on %s as %s says", list(extra), list(missing), key))
		}
	}
	missing, extra := socket.Compare(ctx, d.proxyListeners, cfg.Proxy.Listen)
	add(missing, extra, "proxy.listen")
	missing, extra = socket.Compare(ctx, []*socket.Listener{d.controlListener}, []string{"unix:" + cfg.Control.Path})
	add(missing, extra, "control.path")
	return strings.Join(differences, "; ")
}

func list(addrs []string) string { return strings.Join(addrs, " and ") }

// bind listens where the configuration says.
func (d *daemon) bind(ctx context.Context) (err error) {
	if d.proxyListeners, err = socket.ListenAll(d.config.Proxy.Listen); err != nil {
		return d.explainProxy(ctx, err)
	}
	if err := controlDirectory(d.config, d.config.Control.Path); err != nil {
		return advised(err)
	}
	perm := controlPermissions(d.config, os.Geteuid(), hasGroup)
	if d.controlListener, err = socket.ListenControl(d.config.Control.Path, perm); err != nil {
		return d.explainControl(ctx, err)
	}
	return nil
}

// operators is the group that may use the control sockets of the host's
// instances. The package makes it, and gives the sockets of its units to it.
const operators = "rollbridge"

// controlPermissions are the rights of a control socket that is freshly bound. A
// daemon of the host gives by default the same ones as the package's unit.
func controlPermissions(cfg *config.Config, uid int, hasGroup func(string) bool) socket.Permissions {
	c := cfg.Control
	perm := socket.Permissions{Owner: c.Owner, Group: c.Group}
	if ofHost(cfg.File, uid) && hasGroup(operators) {
		perm.Mode = 0o660
		if perm.Group == "" {
			perm.Group = operators
		}
	}
	if c.Mode != nil {
		perm.Mode = *c.Mode
	}
	return perm
}

// ofHost reports whether a daemon that runs as that user is that of an instance of
// the host.
func ofHost(file string, uid int) bool { return uid == 0 && hostUnits(file).Service != "" }

func hasGroup(name string) bool {
	_, err := user.LookupGroup(name)
	return err == nil
}

// controlDirectory makes sure that the control socket's directory is there. By
// default it lies where everybody can write, and has to be ours alone; that of an
// instance of the host is for its operators too.
func controlDirectory(cfg *config.Config, path string) error {
	dir := filepath.Dir(path)
	if ofHost(cfg.File, os.Geteuid()) && controlPermissions(cfg, os.Geteuid(), hasGroup).Group == operators {
		return os.MkdirAll(dir, 0o755)
	}
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(dir, fmt.Sprintf("/tmp/rollbridge-%d/", os.Getuid())) {
		return socket.PrivateDir(dir)
	}
	return nil
}

// explainProxy says why there is no listener for the proxy, and who has its
// address when that is a daemon.
func (d *daemon) explainProxy(ctx context.Context, err error) error {
	refused, ok := errors.AsType[*socket.Error](err)
	if !ok || !errors.Is(err, socket.ErrInUse) && !errors.Is(err, unix.EADDRINUSE) {
		return advised(err)
	}
	if found, err := control.Probe(ctx, d.config.Control.Path); err == nil && found.Kind == control.Daemon {
		return complaint(refused.Message, fmt.Sprintf("a Rollbridge daemon for application %q is already running: rollbridge status", found.Application))
	}
	return advised(err)
}

// explainControl says why there is no control socket, and who has it.
func (d *daemon) explainControl(ctx context.Context, err error) error {
	if !errors.Is(err, socket.ErrInUse) {
		return advised(err)
	}
	found, probeErr := control.Probe(ctx, d.config.Control.Path)
	if probeErr != nil || found.Kind == control.Nobody {
		return advised(err)
	}
	if conflict, ok := errors.AsType[*control.Error](found.Conflict(d.config.Control.Path)); ok {
		return complaint(conflict.Message, conflict.Hint)
	}
	return advised(err)
}

// listening is where the proxy listens.
func (d *daemon) listening() (addrs []net.Addr) {
	for _, l := range d.proxyListeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// noteListeners records where it listens, and when that is not where it should.
func (d *daemon) noteListeners() {
	for _, addr := range d.listening() {
		data := map[string]any{"path": addr.String()}
		if tcp, ok := addr.(*net.TCPAddr); ok {
			host, _, _ := net.SplitHostPort(addr.String())
			data = map[string]any{"host": host, "port": tcp.Port}
		}
		d.noteListener("proxy listening", data)
	}
	d.noteListener("control socket listening", map[string]any{"path": d.controlListener.Addr().String()})
	d.supervisor.CheckSockets()
}

func (d *daemon) noteListener(message string, data map[string]any) {
	if d.sockets != nil {
		data["activated"] = true
	}
	d.note(message, data)
}
