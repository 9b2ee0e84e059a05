package systemdtest

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// vmTimeout is how long an emulated machine may run. To boot takes 15 to 40
// seconds without hardware support.
const vmTimeout = 20 * time.Minute

// jobUnit runs the job of an emulated machine: an archive on the second disk with
// the script run.sh. What it says goes to the second serial line, its exit code
// to the third.
const jobUnit = `[Unit]
Description=The job of this machine
After=multi-user.target
[Service]
Type=exec
ExecStart=/bin/sh -c 'for i in 1 2; do stty raw </dev/ttyS$$i; done; mkdir /tests && cd /tests && tar -xf /dev/vdb; \
  sh run.sh </dev/null >/dev/ttyS1 2>&1; echo $$? >/dev/ttyS2'
ExecStopPost=/bin/systemctl --no-block poweroff
`

// RunVM boots an emulated machine with the distribution's own kernel, which has
// all controllers of cgroups, and runs a script of the shell in it; the files of
// a directory are in /tests, where it starts. What it says goes to out. The
// result is its exit code.
func RunVM(ctx context.Context, version, dir, script string, out io.Writer) (code int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, vmTimeout, fmt.Errorf("not done after %v", vmTimeout))
	defer cancel()
	if code, err = runVM(ctx, version, dir, script, out); err != nil {
		return 0, fmt.Errorf("emulate a machine with systemd %s: %w", version, err)
	}
	return code, nil
}

func runVM(ctx context.Context, version, dir, script string, out io.Writer) (int, error) {
	if err := need("qemu-system-x86_64", mke2fs); err != nil {
		return 0, err
	}
	root, err := Root(version)
	if err != nil {
		return 0, err
	}
	image := root + ".ext4"
	if err := once(image, func(building string) error { return buildImage(root, building) }); err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp("", "rollbridge-vm-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	job, console, code := filepath.Join(work, "job.tar"), filepath.Join(work, "console"), filepath.Join(work, "code")
	if err := pack(dir, script, job); err != nil {
		return 0, err
	}
	kernel, err := oneOf(root, "boot/vmlinuz-*")
	if err != nil {
		return 0, err
	}
	initrd, err := oneOf(root, "boot/initrd.img-*")
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "768", "-smp", "2",
		"-kernel", kernel, "-initrd", initrd, "-append", "root=/dev/vda rw console=ttyS0 quiet panic=1 systemd.wants=job.service",
		"-drive", "file="+image+",if=virtio,format=raw,snapshot=on", "-drive", "file="+job+",if=virtio,format=raw,readonly=on",
		"-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-serial", "file:"+console, "-chardev", "stdio,id=out,signal=off", "-serial", "chardev:out", "-serial", "file:"+code)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout = out
	var says strings.Builder
	cmd.Stderr = &says
	err = cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %s%s", err, says.String(), lastOf(console))
	}
	text, _ := os.ReadFile(code)
	exit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("the job told no exit code: %s", lastOf(console))
	}
	return exit, nil
}

// buildImage makes a disk of a root.
func buildImage(root, image string) error {
	if out, err := exec.Command(mke2fs, "-q", "-t", "ext4", "-d", root, image, "1000M").CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return nil
}

// pack makes an archive of a directory and the script run.sh.
func pack(dir, script, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	archive := tar.NewWriter(f)
	if err := archive.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: "run.sh", Mode: 0o644, Size: int64(len(script))}); err != nil {
		return err
	}
	if _, err := io.WriteString(archive, script); err != nil {
		return err
	}
	return archive.Close()
}

// oneOf is the one file of a root that has that pattern.
func oneOf(root, pattern string) (string, error) {
	found, _ := filepath.Glob(filepath.Join(root, pattern))
	if len(found) != 1 {
		return "", fmt.Errorf("%s: %d files %s, not one", root, len(found), pattern)
	}
	return found[0], nil
}
