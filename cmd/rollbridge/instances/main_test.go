package instances

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rollbridge/supervisor/systemd/systemdtest"
)

// Inside a host the program and this test binary lie here; the package would
// install the program elsewhere.
const (
	built     = "/tests/rollbridge"
	generator = "/tests/rollbridge-generator"
	self      = "/tests/instances.test"
	program   = "/usr/bin/rollbridge"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "app" {
		app()
		return
	}
	flag.Parse()
	if !systemdtest.Inside() {
		os.Exit(runInHosts())
	}
	if err := install(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func runInHosts() int {
	dir, err := os.MkdirTemp("", "rollbridge-instances-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // users start programs from it
		panic(err)
	}
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(dir, filepath.Base(built)), "rollbridge/cmd/rollbridge"},
		{"build", "-o", filepath.Join(dir, filepath.Base(generator)), "rollbridge/cmd/rollbridge-generator"},
		{"test", "-c", "-o", filepath.Join(dir, filepath.Base(self)), "rollbridge/cmd/rollbridge/instances"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("go %v: %v\n%s", args, err, out)
			return 1
		}
	}
	return systemdtest.Run(filepath.Join(dir, filepath.Base(self)))
}

// app is the web process of every application: it tells its release.
func app() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.FormValue("for"))
		time.Sleep(d)
		io.WriteString(w, os.Getenv("ROLLBRIDGE_RELEASE_ID"))
	})
	fmt.Println("web begins")
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("ROLLBRIDGE_PORT"), nil))
	os.Exit(1)
}
