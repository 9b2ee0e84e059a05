package pasted

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
)

// packages is where packages are built for a run of the tests.
var packages string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rollbridge-packages-")
	if err != nil {
		panic(err)
	}
	packages = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// withPackage puts the Debian package of the checkout where its user has it, into
// the home of root.
func withPackage(t *testing.T, h *systemdtest.Host) {
	t.Helper()
	file, err := built()
	if err != nil {
		if _, missing := exec.LookPath("dh"); missing != nil && os.Getenv("CI") != "true" {
			t.Skip("debhelper is not installed")
		}
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", file, h.Share()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	paste(t, h, "cp /share/rollbridge_*.deb .")
}

// withNewerPackage puts a newer one in its place.
func withNewerPackage(t *testing.T, h *systemdtest.Host) {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	const repack = `
dpkg-deb --raw-extract "$0" tree
sed -i 's/^Version: .*/&+newer/' tree/DEBIAN/control
dpkg-deb --root-owner-group -Zgzip --build tree . >/dev/null
rm -r tree`
	cmd := exec.Command("sh", "-e", "-c", repack, file)
	cmd.Dir = h.Share()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	paste(t, h, "rm rollbridge_*.deb; cp /share/rollbridge_*+newer_*.deb .")
}

// withProgram builds one of the examples into the directory that a host shares.
func withProgram(t *testing.T, h *systemdtest.Host, name string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", h.Share(), "rollbridge/examples/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
}

// built is the package of the checkout.
var built = sync.OnceValues(func() (string, error) {
	if out, err := exec.Command("../../../packaging/deb/build", packages, "--build=binary").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the package: %w\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(packages, "rollbridge_*.deb"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%q were built, not one package", found)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
})
