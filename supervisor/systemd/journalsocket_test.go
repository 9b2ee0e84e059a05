package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// journald listens like journald.
func journald(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	data, rights := make([]byte, 1<<20), make([]byte, 64)
	n, nr, _, _, err := conn.ReadMsgUnix(data, rights)
	if err != nil {
		t.Fatal(err)
	}
	if nr == 0 {
		return string(data[:n])
	}
	messages, err := unix.ParseSocketControlMessage(rights[:nr])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || n != 0 {
		t.Fatalf("%d bytes beside the file, %v", n, err)
	}
	file := os.NewFile(uintptr(fds[0]), "message")
	defer file.Close()
	if _, err := file.WriteString("x"); !errors.Is(err, unix.EPERM) {
		t.Errorf("the message can still be changed: %v", err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fds[0]))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMessageIsWrittenInTheNativeProtocol(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	there := journald(t, path)
	s := &JournalSocket{path: path}
	defer s.Close()
	if err := s.Send([]Field{{"MESSAGE", "one=1"}, {"DATA", "a\nb"}, {"EMPTY", ""}}, time.Second); err != nil {
		t.Fatal(err)
	}
	if got, want := receive(t, there), "MESSAGE=one=1\nDATA\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\nEMPTY=\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLargeMessageGoesAsASealedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	there := journald(t, path)
	s := &JournalSocket{path: path}
	defer s.Close()
	large := strings.Repeat("x", 5<<20)
	if err := s.Send([]Field{{"MESSAGE", large}}, time.Second); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, there); got != "MESSAGE="+large+"\n" {
		t.Errorf("%d bytes", len(got))
	}
}

func TestJournaldMayComeLateAndComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	s := &JournalSocket{path: path}
	defer s.Close()
	if err := s.Send([]Field{{"MESSAGE", "too early"}}, time.Second); err == nil {
		t.Error("sent to nobody")
	}
	for _, text := range []string{"first", "second"} {
		there := journald(t, path)
		if err := s.Send([]Field{{"MESSAGE", text}}, time.Second); err != nil {
			t.Error(err)
		}
		if got := receive(t, there); got != "MESSAGE="+text+"\n" {
			t.Errorf("%q", got)
		}
		there.Close()
		os.Remove(path)
	}
	if err := s.Send([]Field{{"MESSAGE", "too late"}}, time.Second); err == nil {
		t.Error("sent to nobody")
	}
}

func TestStuckJournaldCostsNoMoreThanThePatience(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	there := journald(t, path)
	s := &JournalSocket{path: path}
	defer s.Close()
	const patience = 50 * time.Millisecond
	var err error
	var took time.Duration
	sent := 0
	for ; err == nil; sent++ {
		began := time.Now()
		err = s.Send([]Field{{"MESSAGE", "again"}}, patience)
		took = time.Since(began)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || took < patience {
		t.Errorf("%v after %v", err, took)
	}
	receive(t, there) // now there is room
	if err := s.Send([]Field{{"MESSAGE", "again"}}, 10*time.Second); err != nil {
		t.Errorf("after %d: %v", sent, err)
	}
}

func TestOnlyTheStreamThatSystemdOpenedIsTheJournal(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	var st unix.Stat_t
	if err := unix.Fstat(pair[0], &st); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	if !IsJournal(pair[0], stream) || IsJournal(pair[1], stream) || IsJournal(pair[0], "") || IsJournal(-1, stream) {
		t.Error("wrong")
	}
}
