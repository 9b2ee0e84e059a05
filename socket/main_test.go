package socket

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A child of the tests, with descriptors that the test has passed, tells what
// it makes of them.
const childVariable = "ROLLBRIDGE_TEST_CHILD"

func TestMain(m *testing.M) {
	if pid, isChild := os.LookupEnv(childVariable); isChild {
		child(pid)
		return
	}
	os.Exit(m.Run())
}

// told is what a child found.
type told struct {
	Proxy       []string
	Control     string
	Message     string
	Hint        string
	Again       bool   // the second look found something
	Grandchild  string // what of systemd's variables a child of it sees
	Descriptors string // what a child of it has open above stderr
}

func child(pid string) {
	if pid == "own" {
		pid = strconv.Itoa(os.Getpid())
	}
	if pid != "" {
		os.Setenv("LISTEN_PID", pid)
	}
	units := Units{Proxy: "rollbridge.socket", Control: "rollbridge-control.socket"}
	if os.Getenv("UNITS") == "unknown" {
		units = Units{}
	}
	var found told
	passed, err := TakeActivated(units)
	if err != nil {
		found.Message, found.Hint = err.Error(), err.(*Error).Hint
	}
	if passed != nil {
		for _, l := range passed.Proxy {
			found.Proxy = append(found.Proxy, l.Address())
		}
		found.Control = passed.Control.Address()
	}
	again, err := TakeActivated(units)
	found.Again = again != nil || err != nil
	out, _ := exec.Command("/bin/sh", "-c", "env | grep ^LISTEN_").Output()
	found.Grandchild = string(out)
	out, _ = exec.Command("/bin/sh", "-c", "for i in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i; done").Output()
	found.Descriptors = strings.Join(strings.Fields(string(out)), " ")
	if passed != nil {
		CloseAll(append(passed.Proxy, passed.Control))
	}
	json.NewEncoder(os.Stdout).Encode(found)
}

// passing has a child take the files under the names, "a:b:c".
func passing(t *testing.T, pid, names string, files []*os.File, more ...string) told {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+pid, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names, "LISTEN_PIDFDID=1")
	cmd.Env = append(cmd.Env, more...)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found told
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return found
}
