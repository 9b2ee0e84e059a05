package systemd

import (
	"net"
	"path/filepath"
	"testing"
)

func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@rollbridge-test-notify-" + filepath.Base(t.TempDir())} {
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		t.Setenv("NOTIFY_SOCKET", name)
		for want, notify := range map[string]func() error{
			"READY=1":                        NotifyReady,
			"STATUS=restart 3 of 5 in 0.8 s": func() error { return NotifyStatus("restart 3 of 5\nin 0.8 s") },
			"MAINPID=7\nREADY=1":             func() error { return Notify("MAINPID=7\nREADY=1") },
		} {
			if err := notify(); err != nil {
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
	if err := NotifyReady(); err != nil {
		t.Errorf("with nobody to notify: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := NotifyReady(); err == nil {
		t.Error("with nobody at the socket: no error")
	}
}
