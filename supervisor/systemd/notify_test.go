package systemd

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@rollbridge-test-notify-" + filepath.Base(t.TempDir())} {
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		t.Setenv("NOTIFY_SOCKET", name)
		for want, state := range map[string]string{
			"READY=1":                        Ready,
			"STATUS=restart 3 of 5 in 0.8 s": Status("restart 3 of 5\nin 0.8 s"),
			"EXTEND_TIMEOUT_USEC=1500000":    Patience(1500 * time.Millisecond),
			"MAINPID=7\nREADY=1":             "MAINPID=7\nREADY=1",
		} {
			if err := Notify(state); err != nil {
				t.Fatal(err)
			}
			message := make([]byte, 100)
			n, err := manager.Read(message)
			if err != nil || string(message[:n]) != want {
				t.Errorf("told %q, %v; want %q", message[:n], err, want)
			}
		}
	}
}

// full takes all descriptors that this process may still have.
func full(t *testing.T) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 3 // there are more already
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
}

func TestNotifierNeedsNoDescriptor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	n := OpenNotifier()
	defer n.Close()
	full(t)
	if err := Notify(Alive); err == nil {
		t.Error("there are descriptors left, this test shows nothing")
	}
	if err := n.Tell(Alive); err != nil {
		t.Error(err)
	}
	message := make([]byte, 100)
	if length, err := manager.Read(message); err != nil || string(message[:length]) != Alive {
		t.Errorf("told %q, %v", message[:length], err)
	}
}

func TestNotifyNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Errorf("with nobody to notify: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := Notify(Ready); err == nil {
		t.Error("with nobody at the socket: no error")
	}
}
