package runner

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
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
