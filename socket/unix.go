package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is what fits into a socket address, less its closing zero.
const maxPath = len(unix.RawSockaddrUnix{}.Path) - 1

// probeTime bounds the look whether somebody answers at a path.
const probeTime = time.Second

// newSuffix marks a socket that does not have its permissions yet.
const newSuffix = ".new"

// openToAll lets everybody connect who may enter the directory.
const openToAll fs.FileMode = 0o666

// A unixSocket is a bound Unix socket.
type unixSocket struct {
	*net.UnixListener
	use  use
	path string
	dir  directory
	file *os.File // pins the socket's inode, so that it is known again

	close    sync.Once
	closeErr error
}

// use is what a socket is for, as errors call it, and the key that sets its path.
type use struct{ noun, key string }

var (
	forControl = use{"control socket", "control.path"}
	forProxy   = use{"proxy socket", "proxy.listen"}
)

// ListenControl binds the control socket at path, whose directory must exist.
// The socket has the given permissions from the moment it can be seen at path. A
// socket there that nobody answers on is replaced; nothing else ever is. The
// error, an *Error, wraps ErrInUse when somebody answers and ErrNotSocket when
// something else is in the way; after any error nothing is left behind.
//
// Close removes the socket file, unless another one has taken its place.
func ListenControl(path string, perm Permissions) (*Listener, error) {
	return listenUnix(path, forControl, perm)
}

func listenUnix(path string, use use, perm Permissions) (*Listener, error) {
	l := &unixSocket{use: use, path: path}
	if len(path) > maxPath {
		return nil, l.tooLong()
	}
	uid, gid, err := perm.ids()
	if err != nil {
		return nil, err
	}
	if l.dir, err = openDirectory(filepath.Dir(path)); err != nil {
		return nil, l.noDirectory(err)
	}
	if err := l.take(perm.mode(), uid, gid); err != nil {
		l.release()
		return nil, err
	}
	return newListener(l), nil
}

// Addr is the path of the socket.
func (l *unixSocket) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the socket file, if it is still this one's, and stops
// listening. It can be called more than once.
func (l *unixSocket) Close() error {
	l.close.Do(func() { l.closeErr = errors.Join(l.giveBack(), l.UnixListener.Close(), l.release()) })
	return l.closeErr
}

// take gets the path, under the directory's lock.
func (l *unixSocket) take(mode uint32, uid, gid int) error {
	if err := l.dir.lock(); err != nil {
		return l.failed("lock its directory", err)
	}
	defer l.dir.unlock()
	if err := l.vacate(); err != nil {
		return err
	}
	if err := l.bind(); err != nil {
		return err
	}
	err := l.grant(mode, uid, gid)
	if err == nil {
		err = l.publish()
	}
	if err != nil {
		l.dir.remove(l.newName())
		l.UnixListener.Close()
	}
	return err
}

// vacate makes sure that nothing is at the path, or reports what is.
func (l *unixSocket) vacate() error {
	st, err := l.dir.stat(l.name())
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return l.failed("look at it", err)
	case !isSocket(st):
		return l.inTheWay(l.path, st)
	}
	if err := l.unanswered(); err != nil {
		return err
	}
	if err := l.dir.remove(l.name()); err != nil && err != unix.ENOENT {
		return l.failed("replace a left-over socket", err)
	}
	return nil
}

// unanswered is nil when nobody listens on the socket at the path. Anything but
// a plain refusal counts as somebody: a full backlog, or a datagram socket.
func (l *unixSocket) unanswered() error {
	nc, err := net.DialTimeout("unix", l.path, probeTime)
	if err == nil {
		nc.Close()
		return l.inUse()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return nil
	case errors.Is(err, syscall.EACCES):
		return l.failed("ask who uses it", err)
	}
	return l.inUse()
}

// bind listens under the new name. The mode that the socket has before bind is
// what its file gets, less the umask, so nobody but us can connect.
func (l *unixSocket) bind() error {
	if err := l.sweep(); err != nil {
		return err
	}
	name := l.path + newSuffix
	if l.isLong() {
		name = l.dir.byDescriptor(l.newName())
	}
	private := func(_, _ string, c syscall.RawConn) (err error) {
		if controlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(defaultMode)) }); controlErr != nil {
			return controlErr
		}
		return err
	}
	config := net.ListenConfig{Control: private}
	bound, err := config.Listen(context.Background(), "unix", name)
	if err != nil {
		return l.failed("bind", err)
	}
	l.UnixListener = bound.(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	return nil
}

// sweep removes what a daemon that was killed between bind and rename left.
func (l *unixSocket) sweep() error {
	st, err := l.dir.stat(l.newName())
	if err != nil {
		return nil
	}
	if !isSocket(st) {
		return l.inTheWay(filepath.Join(l.dir.Name(), l.newName()), st)
	}
	l.dir.remove(l.newName())
	return nil
}

// grant sets owner, group and mode of the bound file, by descriptor: in a
// directory that others can write to, its name may already be something else.
func (l *unixSocket) grant(mode uint32, uid, gid int) error {
	file, err := l.dir.pin(l.newName())
	if err != nil {
		return l.failed("open the bound socket", err)
	}
	l.file = file
	if st, err := statOf(file); err != nil || !isSocket(st) {
		return l.failed("open the bound socket", errors.Join(err, errors.New("it was replaced")))
	}
	if uid != keep || gid != keep {
		if err := unix.Fchownat(int(file.Fd()), "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return l.chownRefused(err)
		}
	}
	if err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), mode); err != nil {
		return l.failed("set its mode", err)
	}
	return nil
}

func (l *unixSocket) publish() error {
	err := l.dir.rename(l.newName(), l.name())
	if err == unix.EEXIST {
		return l.inUse()
	}
	if err != nil {
		return l.failed("rename it into place", err)
	}
	return nil
}

// giveBack removes the socket file if it is ours. The pinned inode cannot have
// been used again, so equal numbers mean the same file.
func (l *unixSocket) giveBack() error {
	if err := l.dir.lock(); err != nil {
		return l.failed("lock its directory", err)
	}
	defer l.dir.unlock()
	ours, err := statOf(l.file)
	if err != nil {
		return l.failed("look at it", err)
	}
	there, err := l.dir.stat(l.name())
	if err == unix.ENOENT || err == nil && !sameFile(ours, there) {
		return nil
	}
	if err == nil {
		err = l.dir.remove(l.name())
	}
	if err != nil && err != unix.ENOENT {
		return l.failed("remove it", err)
	}
	return nil
}

// release closes what listenUnix opened besides the listener.
func (l *unixSocket) release() error {
	if l.file != nil {
		l.file.Close()
	}
	return l.dir.Close()
}

func (l *unixSocket) name() string { return filepath.Base(l.path) }

// newName tells, in the output of ss, which socket it is, if that fits.
func (l *unixSocket) newName() string {
	if l.isLong() {
		return newSuffix
	}
	return l.name() + newSuffix
}

func (l *unixSocket) isLong() bool { return len(l.path+newSuffix) > maxPath }

func (l *unixSocket) failed(step string, err error) error {
	return &Error{
		Code:    codeOf(err),
		Message: fmt.Sprintf("%s %s: %s: %s", l.use.noun, l.path, step, reasonOf(err)),
		Err:     err,
	}
}

func (l *unixSocket) inUse() error {
	return &Error{
		Code:    "EADDRINUSE",
		Message: fmt.Sprintf("The %s %s is already in use by another process.", l.use.noun, l.path),
		Hint:    "stop that process or set a different " + l.use.key,
		Err:     ErrInUse,
	}
}

func (l *unixSocket) inTheWay(path string, st unix.Stat_t) error {
	return &Error{
		Message: fmt.Sprintf("%s %s: %s is in the way", l.use.noun, path, kindOf(st)),
		Hint:    "it was left as it is; move it away or set a different " + l.use.key,
		Err:     ErrNotSocket,
	}
}

func (l *unixSocket) chownRefused(err error) error {
	return &Error{
		Code:    codeOf(err),
		Message: fmt.Sprintf("Could not set %s owner/group on %s: %s.", l.use.noun, l.path, reasonOf(err)),
		Hint:    "only root can give it to another user; others can set control.group to a group they are in",
		Err:     err,
	}
}

func (l *unixSocket) tooLong() error {
	return &Error{
		Code:    "ENAMETOOLONG",
		Message: fmt.Sprintf("%s %s: the path has %d bytes, a socket's can have %d", l.use.noun, l.path, len(l.path), maxPath),
		Hint:    "set a shorter " + l.use.key,
		Err:     unix.ENAMETOOLONG,
	}
}

func (l *unixSocket) noDirectory(err error) error {
	return &Error{
		Code:    codeOf(err),
		Message: fmt.Sprintf("%s %s: directory %s: %s", l.use.noun, l.path, filepath.Dir(l.path), reasonOf(err)),
		Hint:    "create the directory or set a different " + l.use.key,
		Err:     err,
	}
}

func kindOf(st unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a pipe"
	}
	return "something that is no socket"
}
