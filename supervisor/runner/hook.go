package runner

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
	"rollbridge/supervisor/gate"
)

// runHook runs a shell command in its own session, as the user and in the
// directory of a process, its output discarded. When the context ends first,
// its process group is killed and the context's cause is the error.
func runHook(ctx context.Context, r *reaper, tag uint64, spec config.Spec, command string) (Exit, error) {
	if ctx.Err() != nil {
		return Exit{}, context.Cause(ctx)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return Exit{}, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	hook := &child{tree: tree{reaper: r, tag: tag}, exited: make(chan struct{})}
	if err := hook.fork(spec, command, []int{null, null, null}); err != nil {
		return Exit{}, err
	}
	go hook.wait()
	defer hook.Release()
	select {
	case <-hook.exited:
		return hook.exit, nil
	case <-ctx.Done():
		_ = unix.Kill(-hook.shell, unix.SIGKILL)
		<-hook.exited
		return hook.exit, context.Cause(ctx)
	}
}

// hookIn runs a shell command in a cgroup, as the user and in the directory of
// a process, its output discarded. When the context ends first, its process
// group is killed and the context's cause is the error.
func hookIn(ctx context.Context, group cgroup, spec config.Spec, mainPID int, command string) (Exit, error) {
	if ctx.Err() != nil {
		return Exit{}, context.Cause(ctx)
	}
	dir, err := os.Open(group.dir)
	if err != nil {
		return Exit{}, fmt.Errorf("open the cgroup: %w", err)
	}
	defer dir.Close()
	credential, err := gate.Credential(spec.User, spec.Group)
	if err != nil {
		return Exit{}, err
	}
	if err := gate.CheckDir(spec.Dir); err != nil {
		return Exit{}, err
	}
	env, err := config.Environment(os.Environ(), spec, credential)
	if err != nil {
		return Exit{}, err
	}
	hook := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	hook.Dir = spec.Dir
	hook.Env = append(env, "ROLLBRIDGE_PID="+strconv.Itoa(mainPID))
	hook.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	hook.Cancel = func() error { return unix.Kill(-hook.Process.Pid, unix.SIGKILL) }
	err = hook.Run()
	switch {
	case ctx.Err() != nil:
		return Exit{}, context.Cause(ctx)
	case hook.ProcessState == nil:
		return Exit{}, gate.Explain(spec, err)
	}
	return statusExit(unix.WaitStatus(hook.ProcessState.Sys().(syscall.WaitStatus))), nil
}
