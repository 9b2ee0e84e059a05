package gate

import (
	"fmt"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

// journalSocket is where the journal takes streams of lines.
const journalSocket = "/run/systemd/journal/stdout"

// The priorities of the lines of a command, with the facility that systemd gives
// to services.
const (
	facility  = 3 << 3 // daemon
	infoLine  = facility | 6
	errorLine = facility | 3
)

// openOutput makes the journal the output of this process: stdout and stderr are
// two streams of lines of a unit. The journal believes the unit only of root,
// and would lose it for lines of a child that is gone when it looks; so this
// comes before the change of user. Where the journal cannot be reached, output
// goes where it went before.
func (g Gate) openOutput(spec config.Spec, unit string) {
	out, err := g.openStream(Identifier(spec), unit, infoLine)
	if err != nil {
		g.say("open the journal: %v; output of %s goes where its unit's goes", err, Identifier(spec))
		return
	}
	defer unix.Close(out)
	errs, err := g.openStream(Identifier(spec), unit, errorLine)
	if err != nil {
		g.say("open the journal: %v; output of %s goes where its unit's goes", err, Identifier(spec))
		return
	}
	defer unix.Close(errs)
	_ = unix.Dup3(out, unix.Stdout, 0) // cannot fail with two different descriptors
	_ = unix.Dup3(errs, unix.Stderr, 0)
}

// openStream connects to the journal. The header is that of systemd's
// connect_logger_as: the level is never read from lines, and nothing is
// forwarded.
func (g Gate) openStream(identifier, unit string, priority int) (fd int, err error) {
	path := g.Journal
	if path == "" {
		path = journalSocket
	}
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = connectStream(fd, path, fmt.Sprintf("%s\n%s\n%d\n0\n0\n0\n0\n", identifier, unit, priority)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// connectStream waits for a journal that is being restarted, but not for ever.
// The time-out is not for the command.
func connectStream(fd int, path, header string) error {
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 2})
	if err := uninterrupted(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) }); err != nil {
		return err
	}
	if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
		return err
	}
	const room = 8 << 20 // as systemd does, so that a burst of lines blocks nobody
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, room)
	}
	if _, err := unix.Write(fd, []byte(header)); err != nil {
		return err
	}
	return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{})
}
