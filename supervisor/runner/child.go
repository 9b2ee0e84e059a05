package runner

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

// child is one execution of a command as a child of this process, in its own
// session: pid, process group and session are the same number.
type child struct {
	tree
	fd      pidfd
	ref     Ref
	streams []*stream
	exited  chan struct{}
	exit    Exit // read after exited
}

// startChild executes the command of a definition, with its output read into
// the ring. The error says in words what is missing.
func startChild(r *reaper, tag uint64, spec config.Spec, output *ring) (instance, error) {
	c := &child{tree: tree{reaper: r, tag: tag}, exited: make(chan struct{})}
	if err := c.start(spec, output); err != nil {
		return nil, err
	}
	for _, s := range c.streams {
		go s.read()
	}
	go c.wait()
	return c, nil
}

// start makes the pipes and forks.
func (c *child) start(spec config.Spec, output *ring) error {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	files := []int{null}
	defer func() { closeAll(files) }()
	for _, name := range []string{"stdout", "stderr"} {
		s, write, err := newStream(name, output)
		if err != nil {
			c.closeStreams()
			return fmt.Errorf("make a pipe for the output: %w", err)
		}
		c.streams, files = append(c.streams, s), append(files, write)
	}
	if err := c.fork(spec, spec.Command, files); err != nil {
		c.closeStreams()
		return err
	}
	return nil
}

// fork executes a shell command in the directory, as the user and with the
// standard files given.
func (c *child) fork(spec config.Spec, command string, files []int) error {
	credential, err := gate.Credential(spec.User, spec.Group)
	if err != nil {
		return err
	}
	if err := gate.CheckDir(spec.Dir); err != nil {
		return err
	}
	env, err := config.Environment(os.Environ(), spec, credential)
	if err != nil {
		return err
	}
	attr := &syscall.ProcAttr{
		Dir: spec.Dir,
		Env: env,
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: credential},
	}
	for _, fd := range files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, fd, err := c.reaper.fork(c.tag, []string{"/bin/sh", "-c", command}, attr)
	if err != nil {
		return gate.Explain(spec, err)
	}
	c.shell, c.fd = pid, newPidfd(fd)
	s, _ := readStat(pid) // cannot be missing: it is not reaped before Release
	c.ref = Ref{PID: pid, StartTime: s.started, BootID: bootID()}
	return nil
}

// wait learns how the shell ended. It stays a zombie, so that its number, which
// is also that of its group, means nothing else while something is left of it.
func (c *child) wait() {
	_ = c.fd.exited(context.Background())
	c.exit = peekExit(c.shell)
	for _, s := range c.streams {
		s.drain()
	}
	close(c.exited)
}

// Release reaps the shell. The output of a descendant that is not ours any more
// is read on.
func (c *child) Release() {
	c.reaper.reap(c.shell)
	c.fd.close()
}

func (c *child) PID() int                       { return c.shell }
func (c *child) Ref() Ref                       { return c.ref }
func (c *child) Exited() <-chan struct{}        { return c.exited }
func (c *child) Exit() Exit                     { return c.exit }
func (c *child) Empty() bool                    { return isEmpty(c.tree) }
func (c *child) Left() []string                 { return namesOf(c.tree) }
func (c *child) Signal(sig syscall.Signal)      { c.signal(sig) }
func (c *child) Gone(ctx context.Context) error { return awaitGone(ctx, c.tree) }
func (c *child) Kill(ctx context.Context) error { return c.killTree(ctx) }
func (c *child) Members() []int                 { return pidsOf(c.tree) }
func (c *child) Cgroups() []uint64              { return nil } // it is in that of the daemon

// Memory sums up the resident memory of the members.
func (c *child) Memory() (int64, []Child, error) {
	bytes, children := rssOf(c.tree)
	return bytes, children, nil
}

func (c *child) killTree(ctx context.Context) error {
	return killAll(ctx, c.tree, func() { c.signalGroup(unix.SIGKILL) })
}

// Hook runs a lifecycle command as another child, with the same mark: what it
// leaves behind becomes a member.
func (c *child) Hook(ctx context.Context, spec config.Spec, command string) (Exit, error) {
	spec.Env = append(slices.Clone(spec.Env), "ROLLBRIDGE_PID="+strconv.Itoa(c.shell))
	return runHook(ctx, c.reaper, c.tag, spec, command)
}

func (c *child) closeStreams() {
	for _, s := range c.streams {
		s.close()
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// childInfo is the part of siginfo_t that waitid fills in.
type childInfo struct {
	_      [3]int32
	_      [unsafe.Sizeof(uintptr(0)) - 4]byte // the union is aligned to a word
	_      [2]int32
	status int32
}

// peekExit reads how a child ended, without reaping it.
func peekExit(pid int) Exit {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Exit{Unknown: true}
		}
		break
	}
	status := int((*childInfo)(unsafe.Pointer(&info)).status)
	const cldExited = 1
	if info.Code == cldExited {
		return Exit{Code: status}
	}
	return Exit{Signal: syscall.Signal(status)}
}
