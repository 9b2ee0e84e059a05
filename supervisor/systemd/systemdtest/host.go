package systemdtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bootTimeout is how long a host may take to be up, or down. Half a second is
// usual, but an emulated machine may be the outer one.
const bootTimeout = 3 * time.Minute

// A Host is a running container with systemd as PID 1. Commands may run
// concurrently; Reboot and Stop may not run beside anything else.
type Host struct {
	version  string
	name     string // of the machine, its directory and its cgroup
	dir      string
	cgroup   cgroup
	unlock   func() // says that nobody cares for the host any more
	launcher *exec.Cmd
	next     io.WriteCloser // a line boots the machine
	ended    chan string    // how each boot ended; closed at the launcher's end
	leader   int            // PID 1 of the container
	scope    *os.File       // the cgroup of PID 1
}

// launch is the first process of a host. It lives in PID and mount namespaces of
// its own, so that with it, which dies with us, go the container and every
// mount. The machine's disk is an overlay that outlives a boot. The hierarchy
// of cgroups is shown as on a machine that has only version 2. nspawn must start
// in the host's own cgroup, with nobody beside it.
const launch = `set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$CGROUPS" /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs disk
mkdir disk/upper disk/work disk/root
mount -t overlay -o "lowerdir=$ROOT,upperdir=disk/upper,workdir=disk/work" overlay disk/root
while read -r next; do
  code=0
  (echo 0 >"/sys/fs/cgroup/$NAME/cgroup.procs" && exec systemd-nspawn --quiet --register=no --keep-unit \
    --notify-ready=yes --link-journal=no --machine="$NAME" --directory=disk/root --boot --private-network "$@") \
    </dev/null >>console 2>&1 || code=$?
  echo "$code"
done`

// Boot starts a host. Each bind, "OUTSIDE:INSIDE", shows a file or directory
// inside, read-only.
func Boot(version string, binds ...string) (*Host, error) {
	h, err := boot(version, binds)
	if err != nil {
		return nil, fmt.Errorf("boot test host %s: %w", version, err)
	}
	return h, nil
}

func boot(version string, binds []string) (*Host, error) {
	if err := need("systemd-nspawn"); err != nil {
		return nil, err
	}
	root, err := Root(version)
	if err != nil {
		return nil, err
	}
	h, err := newHost(version)
	if err != nil {
		return nil, err
	}
	if err := h.launch(root, binds); err != nil {
		return nil, errors.Join(err, h.Stop())
	}
	if err := h.boot(); err != nil {
		return nil, errors.Join(err, h.Stop())
	}
	return h, nil
}

// launch starts the launcher, which waits.
func (h *Host) launch(root string, binds []string) error {
	args := []string{"-c", launch, "launch", "--bind=" + h.Share() + ":/share"}
	for _, bind := range binds {
		args = append(args, "--bind-ro="+bind)
	}
	group, err := h.cgroup.child("launcher")
	if err != nil {
		return err
	}
	defer group.Close()
	h.launcher = exec.Command("/bin/sh", args...)
	h.launcher.Dir = h.dir
	h.launcher.Env = append(os.Environ(), "ROOT="+root, "NAME="+h.name, "CGROUPS="+filepath.Dir(string(h.cgroup)), "NOTIFY_SOCKET="+h.path("notify"))
	h.launcher.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
		UseCgroupFD: true, CgroupFD: int(group.Fd()),
	}
	console, err := os.Create(h.path("console"))
	if err != nil {
		return err
	}
	defer console.Close()
	h.launcher.Stderr = console
	if h.next, err = h.launcher.StdinPipe(); err != nil {
		return err
	}
	ends, err := h.launcher.StdoutPipe()
	if err != nil {
		return err
	}
	if err := h.launcher.Start(); err != nil {
		return err
	}
	h.ended = make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(ends); lines.Scan(); {
			h.ended <- lines.Text()
		}
		close(h.ended)
	}()
	return nil
}

// boot starts the machine and waits until its systemd says that it is up. Each
// boot has its own socket, since systemd also says so when it is reloaded.
func (h *Host) boot() error {
	os.Remove(h.path("notify"))
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: h.path("notify"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer notify.Close()
	notify.SetReadDeadline(time.Now().Add(bootTimeout))
	ready := make(chan error, 1)
	go func() { ready <- awaitReady(notify) }()
	if _, err := io.WriteString(h.next, "\n"); err != nil {
		return fmt.Errorf("%w: %s", err, h.console())
	}
	select {
	case err := <-ready:
		if err != nil {
			return fmt.Errorf("%w: %s", err, h.console())
		}
		return h.findLeader()
	case code := <-h.ended:
		return fmt.Errorf("systemd-nspawn ended with %q: %s", code, h.console())
	}
}

// awaitReady reads notifications until one says READY=1.
func awaitReady(notify io.Reader) error {
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(message[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				return nil
			}
		}
	}
}

// findLeader finds PID 1 of the container. nspawn tells its number only as the
// launcher's namespace has it.
func (h *Host) findLeader() error {
	procs, err := os.ReadFile(h.cgroup.path("payload/init.scope/cgroup.procs"))
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(string(procs), &h.leader); err != nil {
		return fmt.Errorf("find PID 1 in %q: %w", procs, err)
	}
	h.scope.Close()
	h.scope, err = os.Open(h.cgroup.path("payload/init.scope"))
	return err
}

// Version is the version of the host's systemd.
func (h *Host) Version() string { return h.version }

// Share is a directory outside that is /share inside.
func (h *Host) Share() string { return h.path("share") }

func (h *Host) path(name string) string { return filepath.Join(h.dir, name) }

// console is the end of what the machine said while it booted.
func (h *Host) console() string { return lastOf(h.path("console")) }

// lastOf is the end of a file.
func lastOf(path string) string {
	b, _ := os.ReadFile(path)
	return string(b[max(0, len(b)-2000):])
}

// Reboot shuts the machine down in order and boots it again. Its disk stays, /run
// and /tmp do not.
func (h *Host) Reboot() error {
	h.Systemctl("reboot") // may be killed by what it does
	if err := h.bootAgain(); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return nil
}

// Crash takes the machine's power away and boots it again.
func (h *Host) Crash() error {
	if err := syscall.Kill(h.leader, syscall.SIGKILL); err != nil {
		return err
	}
	return h.bootAgain()
}

func (h *Host) bootAgain() error {
	select {
	case <-h.ended:
		return h.boot()
	case <-time.After(bootTimeout):
		return fmt.Errorf("the machine does not go down: %s", h.console())
	}
}

// Stop ends everything that runs in the host, at once, and removes what belongs
// to it.
func (h *Host) Stop() error {
	if h.launcher != nil && h.launcher.Process != nil {
		h.launcher.Process.Kill() // and with it all in its namespace
		for range h.ended {       // until the pipe is empty, as Wait wants it
		}
		h.launcher.Wait()
	}
	h.scope.Close()
	err := errors.Join(h.cgroup.end(), os.RemoveAll(h.dir))
	h.unlock()
	return err
}
