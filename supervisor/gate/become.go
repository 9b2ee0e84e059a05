package gate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"rollbridge/supervisor/config"
)

// become executes the command of a definition in place of this process: in its
// directory, as its user, with its environment, its output and a clean slate of
// signals, as the leader of a session. It returns why it could not. lastly runs
// when only the execution is left to do; an error of it is the answer.
func (g Gate) become(def Definition, lastly func() error) error {
	runtime.LockOSThread() // user and mask of signals are a thread's
	spec := def.Spec
	credential, err := Credential(spec.User, spec.Group)
	if err != nil {
		return err
	}
	if err := CheckDir(spec.Dir); err != nil {
		return err
	}
	env, err := config.Environment(def.Daemon, spec, credential)
	if err != nil {
		return err
	}
	argv := []string{"/bin/sh", "-c", spec.Command}
	if err := fits(argv, env); err != nil {
		return Explain(spec, err)
	}
	if err := leadSession(); err != nil {
		return err
	}
	g.openOutput(spec, def.Unit)
	if err := clearInput(); err != nil {
		return err
	}
	if err := moveIn(credential, spec); err != nil {
		return err
	}
	if err := lastly(); err != nil {
		return err
	}
	unignore()
	unblock()
	return unexecuted(spec, syscall.Exec(argv[0], argv, env))
}

// moveIn takes on the user and goes to the directory, which that user has to be
// allowed to.
func moveIn(c *syscall.Credential, spec config.Spec) error {
	if c != nil {
		if err := takeOn(c); err != nil {
			return Explain(spec, err)
		}
	}
	if spec.Dir == "" {
		return nil
	}
	if err := os.Chdir(spec.Dir); err != nil {
		return Explain(spec, err)
	}
	return nil
}

// takeOn changes the user of this thread, which is all that an execution keeps.
// The others stay as they were: the runtime could not make a new one when the
// user has as many processes as it may have. There is no way back.
func takeOn(c *syscall.Credential) error {
	var groups unsafe.Pointer
	if len(c.Groups) > 0 {
		groups = unsafe.Pointer(&c.Groups[0])
	}
	uid, gid := uintptr(c.Uid), uintptr(c.Gid)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(groups), 0); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno
	}
	return nil
}

// leadSession makes pid, process group and session the same number. systemd has
// done so for services.
func leadSession() error {
	if sid, err := unix.Getsid(0); err == nil && sid == os.Getpid() {
		return nil
	}
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("become the leader of a session: %w", err)
	}
	return nil
}

// clearInput makes stdin empty, and lets the command inherit nothing but the
// three standard files.
func clearInput() error {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, unix.Stdin, 0); err != nil {
		return fmt.Errorf("make %s the input: %w", os.DevNull, err)
	}
	_ = unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) // all of ours are marked already
	return nil
}

// fits finds what the kernel would refuse to execute, while there is still a
// way to say so: a string with a zero byte in it, or too much text.
func fits(lists ...[]string) error {
	const (
		page    = 4096
		longest = 32 * page // MAX_ARG_STRLEN
	)
	total := 0
	for _, list := range lists {
		for _, s := range list {
			if bytes.IndexByte([]byte(s), 0) >= 0 {
				return unix.EINVAL
			}
			if len(s) >= longest {
				return unix.E2BIG
			}
			total += len(s) + 1 + strconv.IntSize/8
		}
	}
	if total > mostText()-page {
		return unix.E2BIG
	}
	return nil
}

// mostText is how much text an execution takes: a quarter of the limit of the
// stack, 6 MiB at most (fs/exec.c, bprm_stack_limits).
func mostText() int {
	const most = 6 << 20
	var stack unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_STACK, &stack) != nil || stack.Cur/4 > most {
		return most
	}
	return max(int(stack.Cur/4), 128<<10)
}

// unexecuted says why the shell could not be executed. That it is not allowed
// to is not about the directory here.
func unexecuted(spec config.Spec, err error) error {
	if errors.Is(err, unix.EACCES) {
		return fmt.Errorf("start /bin/sh: %w", err)
	}
	return Explain(spec, err)
}

// startTime is field 22 of /proc/self/stat: when this process was started, in
// clock ticks since boot.
func startTime() uint64 {
	line, _ := os.ReadFile("/proc/self/stat")
	list := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:]) // the name may hold blanks
	const first, wanted = 3, 22
	if len(list) <= wanted-first {
		return 0
	}
	ticks, _ := strconv.ParseUint(string(list[wanted-first]), 10, 64)
	return ticks
}
