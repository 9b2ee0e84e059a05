package systemdtest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// packages are what a root file system holds beside Debian's minimum: a server
// as people have it. The kernel is for emulated machines.
const packages = "systemd-sysv,dbus,libpam-systemd,dbus-user-session,polkitd,procps,util-linux,curl,nginx,linux-image-cloud-amd64"

// customize makes a root anonymous, since each boot has its own machine id,
// leaves nginx to be started by tests, and adds the unprivileged user and the job
// of emulated machines. mmdebstrap runs it
// with the root's directory as $1.
const customize = `set -e
: > "$1/etc/machine-id"
echo testhost > "$1/etc/hostname"
rm -f "$1/etc/systemd/system/multi-user.target.wants/nginx.service"
chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash app
cat > "$1/etc/systemd/system/job.service" <<'END'
` + jobUnit + "END\n"

// Root is the directory of the root file system with that version of systemd.
// It is built when there is none, which takes about a minute, and kept for good
// under $ROLLBRIDGE_TESTROOTS, by default in the user's cache directory. Nobody
// may write to it.
func Root(version string) (string, error) {
	suite, ok := suites[version]
	if !ok {
		return "", fmt.Errorf("test host %s: there are only %s", version, strings.Join(Versions, " and "))
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(suite + packages + customize))
	root := filepath.Join(cache, fmt.Sprintf("%s-%x", suite, key[:6]))
	if err := once(root, func(building string) error { return buildRoot(suite, building) }); err != nil {
		return "", fmt.Errorf("build the root of test host %s: %w", version, err)
	}
	return root, nil
}

// once builds what is to be at a path beside it and moves it there when it is
// complete, unless that has been done, by any process.
func once(path string, build func(building string) error) error {
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	building := path + ".building"
	if err := os.RemoveAll(building); err != nil {
		return err
	}
	if err := build(building); err != nil {
		return err
	}
	return os.Rename(building, path)
}

func cacheDir() (string, error) {
	dir := os.Getenv("ROLLBRIDGE_TESTROOTS")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("keep roots of test hosts: %w: set ROLLBRIDGE_TESTROOTS to a directory", err)
		}
		dir = filepath.Join(user, "rollbridge", "testroots")
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func buildRoot(suite, dir string) error {
	if err := need("mmdebstrap"); err != nil {
		return err
	}
	args := []string{"--variant=minbase", "--include=" + packages, "--customize-hook=" + customize, suite, dir}
	if mirror := debianMirror(); mirror != "" {
		args = append(args, mirror)
	}
	if out, err := exec.Command("mmdebstrap", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap %s: %w\n%s", suite, err, out)
	}
	return nil
}

// debianMirror is where apt gets Debian from on this machine; "" when apt does
// not say, and mmdebstrap's own choice has to do.
func debianMirror() string {
	for _, version := range Versions {
		out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)", "Release: "+suites[version], "Component: main", "Created-By: Packages").Output()
		if lines := strings.Fields(string(out)); err == nil && len(lines) > 0 {
			return lines[0]
		}
	}
	return ""
}

// lockFile waits for an exclusive lock, which ends with the process.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
