package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A launch is one start of a daemon in the background.
type launch struct {
	config string
	socket string
	log    *os.File
	pid    *os.File // locked from prepare to close: one launch at a time

	daemon *exec.Cmd
	exited chan struct{} // closed when the daemon has ended
	logged int64         // size of the log before this launch
}

// prepare opens the log and the pid file and waits until no other launch is
// under way.
func (r *remote) prepare(ctx context.Context, e *env, o startOptions) (*launch, error) {
	beside := strings.TrimSuffix(r.socket, filepath.Ext(r.socket))
	logPath, pidPath := o.log, o.pid
	if logPath == "" {
		logPath = beside + ".log"
	}
	if pidPath == "" {
		pidPath = beside + ".pid"
	}
	if err := controlDirectory(r.config, r.socket); err != nil {
		return nil, err
	}
	pid, err := lockedFile(ctx, e.absolute(pidPath))
	if err != nil {
		return nil, fmt.Errorf("pid file: %w", err)
	}
	log, err := ownFile(e.absolute(logPath), os.O_APPEND|os.O_WRONLY)
	if err != nil {
		os.Remove(pid.Name())
		pid.Close()
		return nil, fmt.Errorf("log of the daemon: %w", err)
	}
	return &launch{config: r.config.File, socket: r.socket, log: log, pid: pid}, nil
}

// run starts the daemon and waits until it is ready: the daemon says so on a
// pipe, and the pipe ends when it dies.
func (l *launch) run(ctx context.Context) error {
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	err = l.spawn(theirs)
	theirs.Close()
	if err != nil {
		return err
	}
	if err := l.writePID(); err != nil {
		return err
	}
	return awaitReady(ctx, ready)
}

// spawn executes the daemon in a session of its own.
func (l *launch) spawn(ready *os.File) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if info, err := l.log.Stat(); err == nil {
		l.logged = info.Size()
	}
	l.daemon = exec.Command(program, "daemon", "--config", l.config)
	l.daemon.Stdout, l.daemon.Stderr = l.log, l.log
	l.daemon.ExtraFiles = []*os.File{ready}
	l.daemon.Env = append(os.Environ(), readyVariable+"=3")
	l.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.daemon.Start(); err != nil {
		return err
	}
	l.exited = make(chan struct{})
	go func() {
		defer close(l.exited)
		l.daemon.Wait()
	}()
	return nil
}

func (l *launch) writePID() error {
	if err := l.pid.Truncate(0); err != nil {
		return err
	}
	_, err := l.pid.WriteAt([]byte(strconv.Itoa(l.daemon.Process.Pid)+"\n"), 0)
	return err
}

var errDied = errors.New("it ended before it was ready")

// awaitReady reads the word of a daemon that is ready.
func awaitReady(ctx context.Context, pipe *os.File) error {
	stop := context.AfterFunc(ctx, func() { pipe.SetReadDeadline(time.Now()) })
	defer stop()
	word, err := bufio.NewReader(pipe).ReadString('\n')
	switch {
	case word == readyWord:
		return nil
	case errors.Is(err, io.EOF):
		return errDied
	}
	return err
}

// abandon ends a daemon that did not become ready.
func (l *launch) abandon() {
	l.pid.Truncate(0)
	if l.exited == nil {
		return
	}
	l.daemon.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.exited:
		return
	case <-time.After(2 * time.Second):
	}
	l.daemon.Process.Kill()
	<-l.exited
}

// explain adds what an abandoned daemon said to the reason why it was.
func (l *launch) explain(err error) error {
	switch {
	case l.exited == nil:
		return fmt.Errorf("start the daemon: %w", err)
	case errors.Is(err, errDied):
		return l.complain(fmt.Sprintf("the Rollbridge daemon ended at its start: %s.", l.daemon.ProcessState))
	}
	return l.complain(err.Error())
}

// late is the complaint when the time is over, whatever went on just then.
func (l *launch) late(limit time.Duration) error {
	return l.complain(fmt.Sprintf("Rollbridge daemon did not become ready within %dms.", limit.Milliseconds()))
}

// complain tells a failure together with the last words of the daemon.
func (l *launch) complain(text string) error {
	if last := l.lastLines(5); last != "" {
		text += " Its last words:" + last
	}
	return complaint(text, "its log is "+l.log.Name())
}

// lastLines returns the last lines that this daemon wrote, each on a new line.
func (l *launch) lastLines(n int) string {
	if l.daemon == nil {
		return ""
	}
	f, err := os.Open(l.log.Name())
	if err != nil {
		return ""
	}
	defer f.Close()
	const enough = 16 << 10
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	text := make([]byte, min(enough, max(0, size-l.logged)))
	if _, err := f.ReadAt(text, size-int64(len(text))); err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	trimmed := strings.TrimSpace(string(text))
	if trimmed == "" {
		return ""
	}
	lines := strings.Split(trimmed, "\n")
	lines = lines[max(0, len(lines)-n):]
	return "\n  " + strings.Join(lines, "\n  ")
}

// close gives way to the next launch. The daemon keeps its own log descriptor;
// a pid file without a daemon goes.
func (l *launch) close() {
	if info, err := l.pid.Stat(); err == nil && info.Size() == 0 {
		os.Remove(l.pid.Name())
	}
	l.pid.Close()
	l.log.Close()
}

// lockedFile opens a file of ours and locks it, waiting for whoever holds the
// lock.
func lockedFile(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := ownFile(path, os.O_RDWR)
		if err != nil {
			return nil, err
		}
		if err := lock(ctx, f); err != nil {
			f.Close()
			return nil, err
		}
		if sameFile(f, path) {
			return f, nil
		}
		f.Close() // removed by the one who held it
	}
}

// lock waits for the lock of a file, or for the end of ctx; the wait in the
// kernel then ends with the program.
func lock(ctx context.Context, f *os.File) error {
	fd := int(f.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		return err
	}
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(fd, unix.LOCK_EX) }()
	select {
	case err := <-locked:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s is locked: another start of the daemon is under way", f.Name())
	}
}

func sameFile(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

// ownFile opens, or makes with mode 0600, a regular file that belongs to this
// user alone: a link or a file that somebody else put there is refused.
func ownFile(path string, flags int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flags|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link; it has to be a file", path)
	}
	if err != nil {
		return nil, err
	}
	if err := checkOwn(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkOwn(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is no regular file", f.Name())
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d, not to this user", f.Name(), st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s can be written by others; chmod go-w it", f.Name())
	case st.Nlink != 1:
		return fmt.Errorf("%s has another name too; remove it", f.Name())
	}
	return nil
}
