package socket

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// The names of the sockets that systemd passes, FileDescriptorName= in their
// units.
const (
	proxyName   = "proxy"
	controlName = "control"
)

// Activated are the listeners that systemd has made and passed to this process.
// Closing them leaves systemd's own open, and the files of Unix sockets alone.
type Activated struct {
	Proxy   []*Listener // one or more
	Control *Listener   // on a Unix socket
}

// Units are the socket units that pass the listeners, for hints; "" where they
// are not known.
type Units struct{ Proxy, Control string }

// TakeActivated takes the listeners that systemd has passed, nil when it has
// passed none to this very process. No child inherits them, nor the environment
// variables that tell of them. The error, an *Error, says what is missing, not
// wanted, or not what it has to be. The second call finds nothing.
func TakeActivated(units Units) (*Activated, error) {
	err := checkPassed(os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"))
	files := activation.Files(true)
	os.Unsetenv("LISTEN_PIDFDID") // newer than the library
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return units.take(files)
}

// checkPassed refuses what systemd does not write. Descriptors for another
// process are none of our business: the variables were inherited.
func checkPassed(pid, fds string) error {
	if pid == "" {
		return nil
	}
	n, err := strconv.ParseUint(pid, 10, 31)
	if err != nil || n == 0 {
		return badVariable("LISTEN_PID", pid, "a process id")
	}
	if int(n) != os.Getpid() {
		return nil
	}
	if n, err := strconv.ParseUint(fds, 10, 16); err != nil || n == 0 {
		return badVariable("LISTEN_FDS", fds, "a number of sockets")
	}
	return nil
}

func badVariable(name, value, want string) error {
	return &Error{
		Message: fmt.Sprintf("socket activation: %s is %q, not %s", name, value, want),
		Hint:    "systemd sets it; elsewhere start without it: env -u LISTEN_PID -u LISTEN_FDS -u LISTEN_FDNAMES",
	}
}

// take makes listeners of descriptors, by their names; all of them or none.
func (u Units) take(files []*os.File) (_ *Activated, err error) {
	var proxies, controls []*Listener
	defer func() {
		if err != nil {
			CloseAll(append(proxies, controls...))
		}
	}()
	for _, file := range files {
		switch name := file.Name(); name {
		case proxyName:
			proxies, err = add(proxies, file, u.proxy())
		case controlName:
			controls, err = add(controls, file, u.control())
		default:
			err = unknown(name)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case len(proxies) == 0:
		return nil, u.missing(u.proxy())
	case len(controls) == 0:
		return nil, u.missing(u.control())
	case len(controls) > 1:
		return nil, u.control().refused(fmt.Sprintf("passed %d control sockets", len(controls)), "leave one ListenStream= in it")
	case controls[0].Addr().Network() != "unix":
		return nil, u.control().refused(fmt.Sprintf("passed %s as the control socket, which has to be a Unix socket", controls[0].Addr()), "set ListenStream= to a path")
	}
	return &Activated{Proxy: proxies, Control: controls[0]}, nil
}

// add makes a listener of a descriptor that the unit passed. One that is refused
// is left alone: where LISTEN_FDS is wrong it may be anything.
func add(list []*Listener, file *os.File, from origin) ([]*Listener, error) {
	if reason := notListening(int(file.Fd())); reason != "" {
		return list, from.refused(fmt.Sprintf("passed a %s socket that cannot be used: %s", file.Name(), reason), "use ListenStream= there, and Accept=no")
	}
	l, err := net.FileListener(file) // a duplicate, close-on-exec
	if err != nil {
		return list, from.refused(fmt.Sprintf("passed a %s socket that cannot be used: %s", file.Name(), reasonOf(err)), "")
	}
	file.Close()
	switch l := l.(type) {
	case *net.TCPListener:
		return append(list, newListener(l)), nil
	case *net.UnixListener:
		l.SetUnlinkOnClose(false)
		if isAbstract(l.Addr().String()) {
			l.Close()
			return list, from.refused(fmt.Sprintf("passed the %s socket %s: abstract sockets are not supported", file.Name(), l.Addr()), "set ListenStream= to a path")
		}
		return append(list, newListener(l)), nil
	}
	l.Close()
	return list, from.refused(fmt.Sprintf("passed a %s socket of an unknown family", file.Name()), "")
}

// notListening says why a descriptor is no listening stream socket, "" when it
// is one.
func notListening(fd int) (reason string) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err == unix.ENOTSOCK {
		return "it is " + kindOfDescriptor(fd)
	}
	if err != nil {
		return reasonOf(err)
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	family, familyErr := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	switch {
	case err != nil:
		return reasonOf(err)
	case familyErr != nil:
		return reasonOf(familyErr)
	case kind == unix.SOCK_DGRAM:
		return "it is a datagram socket"
	case kind != unix.SOCK_STREAM:
		return "it is no stream socket"
	case listening == 0:
		return "it is a connection"
	case family != unix.AF_INET && family != unix.AF_INET6 && family != unix.AF_UNIX:
		return fmt.Sprintf("its address family, %d, is not served", family)
	}
	return ""
}

func kindOfDescriptor(fd int) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "no socket"
	}
	return kindOf(st)
}

// isAbstract reports whether a Unix socket has a name and no file.
func isAbstract(path string) bool { return path == "" || path[0] == '@' || path[0] == 0 }

// An origin is a unit that passes sockets.
type origin struct{ unit, name string }

func (u Units) proxy() origin   { return origin{u.Proxy, proxyName} }
func (u Units) control() origin { return origin{u.Control, controlName} }

// String names the unit, or the way to recognise it.
func (o origin) String() string {
	if o.unit == "" {
		return "the socket unit with FileDescriptorName=" + o.name
	}
	return o.unit
}

// refused says what a unit did wrong, and what to write into it.
func (o origin) refused(message, hint string) error {
	if hint != "" && o.unit != "" {
		hint = fmt.Sprintf("%s: systemctl edit %s; then systemctl restart %[2]s", hint, o.unit)
	}
	return &Error{Message: fmt.Sprintf("socket activation: %s %s", o, message), Hint: hint}
}

// missing says that a unit has passed nothing while the other one has. A socket
// unit cannot start while its service runs, and the service is started again and
// again as long as the other one is there: hence the stop.
func (u Units) missing(o origin) error {
	hint := "start it, and name it in Sockets= of the service; systemctl list-sockets shows the names"
	if u.Proxy != "" {
		hint = fmt.Sprintf("systemctl stop %s %s && systemctl start %[2]s %[1]s", u.Proxy, u.Control)
	}
	return &Error{Message: fmt.Sprintf("socket activation: %s has passed no socket", o), Hint: hint}
}

func unknown(name string) error {
	return &Error{
		Message: fmt.Sprintf("socket activation: a socket with the unknown name %q was passed", name),
		Hint:    "set FileDescriptorName= in its unit to proxy or control; systemctl list-sockets shows which there are",
	}
}
