package systemd

import (
	"net"
	"path/filepath"
	"testing"
	"time"
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
