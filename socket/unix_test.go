package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const someID = 54321 // of nobody in particular

// directory with a path short enough for sockets of any name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rbs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listenControl(t *testing.T, path string, perm Permissions) *Listener {
	t.Helper()
	l, err := ListenControl(path, perm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func connects(path string) bool {
	nc, err := net.Dial("unix", path)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

// asUser runs f on a thread of its own with the effective user uid, or skips.
func asUser(t *testing.T, uid int, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with us
		if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			t.Errorf("become user %d: %v", uid, errno)
			return
		}
		f()
	}()
	<-done
}

func TestControlSocketHasItsPermissionsWheneverItIsSeen(t *testing.T) {
	path := filepath.Join(shortDir(t), "control.sock")
	perm, gid := Permissions{Mode: 0o666}, os.Getegid()
	if os.Geteuid() == 0 {
		perm.Group, gid = "54321", someID
	}
	var stop atomic.Bool
	var watching sync.WaitGroup
	var seen atomic.Int32
	watching.Go(func() {
		for !stop.Load() {
			var st unix.Stat_t
			if unix.Lstat(path, &st) != nil {
				continue
			}
			seen.Add(1)
			if st.Mode&0o777 != 0o666 || int(st.Gid) != gid {
				t.Errorf("seen with mode %o, group %d", st.Mode&0o777, st.Gid)
				return
			}
		}
	})
	for began := time.Now(); seen.Load() < 200 && time.Since(began) < 10*time.Second; {
		l, err := ListenControl(path, perm)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	stop.Store(true)
	watching.Wait()
	if seen.Load() < 200 {
		t.Error("the socket was hardly ever seen")
	}
}

func TestControlSocketIsPrivateByDefault(t *testing.T) {
	path := filepath.Join(shortDir(t), "control.sock")
	l := listenControl(t, path, Permissions{})
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if l.Addr().String() != path {
		t.Errorf("address %s", l.Addr())
	}
}

func TestOwnerAndGroupAreSetByNameAndByNumber(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	for _, perm := range []Permissions{{Owner: "54321", Group: "54321"}, {Owner: "root", Group: "root"}, {}} {
		path := filepath.Join(shortDir(t), "control.sock")
		listenControl(t, path, perm)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		want := uint32(0)
		if perm.Owner == "54321" {
			want = someID
		}
		if st.Uid != want || st.Gid != want {
			t.Errorf("%+v: belongs to %d:%d", perm, st.Uid, st.Gid)
		}
	}
}

func TestUnknownOwnerOrGroupLeavesNothing(t *testing.T) {
	dir := shortDir(t)
	for text, perm := range map[string]Permissions{
		`Unknown user "no-such-user".`:   {Owner: "no-such-user"},
		`Unknown group "no-such-group".`: {Group: "no-such-group"},
		`Unknown user "4294967295".`:     {Owner: "4294967295"},
		`Unknown user "-1".`:             {Owner: "-1"},
	} {
		_, err := ListenControl(filepath.Join(dir, "control.sock"), perm)
		var e *Error
		if !errors.As(err, &e) || e.Message != text || e.Hint == "" {
			t.Errorf("%+v: %v", perm, err)
		}
	}
	if left := names(t, dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestRefusedChownLeavesNothing(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "control.sock")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	asUser(t, someID, func() {
		_, err := ListenControl(path, Permissions{Owner: "0"})
		var e *Error
		if !errors.As(err, &e) || e.Message != "Could not set control socket owner/group on "+path+": operation not permitted." {
			t.Errorf("got %v", err)
		}
	})
	if left := names(t, dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestWhatIsNoSocketIsNeverTouched(t *testing.T) {
	elsewhere := filepath.Join(shortDir(t), "live.sock")
	listenControl(t, elsewhere, Permissions{})
	for _, name := range []string{"control.sock", "control.sock.new"} {
		for kind, put := range map[string]func(path string) error{
			"file":      func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
			"directory": func(path string) error { return os.Mkdir(path, 0o700) },
			"link":      func(path string) error { return os.Symlink(elsewhere, path) },
			"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		} {
			dir := shortDir(t)
			if err := put(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(filepath.Join(dir, name))
			_, err := ListenControl(filepath.Join(dir, "control.sock"), Permissions{})
			if !errors.Is(err, ErrNotSocket) {
				t.Errorf("%s at %s: %v", kind, name, err)
			}
			after, err := os.Lstat(filepath.Join(dir, name))
			if err != nil || !os.SameFile(before, after) || names(t, dir) != name {
				t.Errorf("%s at %s was touched: %v, now %q", kind, name, err, names(t, dir))
			}
		}
	}
}

func TestLeftOverSocketsAreReplaced(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "control.sock")
	leaveStale(t, path)
	leaveStale(t, path+".new")
	l := listenControl(t, path, Permissions{})
	if !connects(path) || names(t, dir) != "control.sock" {
		t.Errorf("cannot connect, or left over: %s", names(t, dir))
	}
	l.Close()
	if left := names(t, dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestAnsweredSocketIsInUse(t *testing.T) {
	dir := shortDir(t)
	stream, datagram := filepath.Join(dir, "stream"), filepath.Join(dir, "datagram")
	listenControl(t, stream, Permissions{})
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagram})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, path := range []string{stream, datagram} {
		_, err := ListenControl(path, Permissions{})
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "is already in use by another process.") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if !connects(stream) || names(t, dir) != "datagram stream" {
		t.Errorf("the sockets in use were touched: %s", names(t, dir))
	}
}

func TestOfTwoStartsAtOnceOneWins(t *testing.T) {
	path := filepath.Join(shortDir(t), "control.sock")
	for round := range 30 {
		if round%2 == 0 {
			leaveStale(t, path)
		}
		var won, inUse atomic.Int32
		var winner atomic.Value
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 8 {
			all.Go(func() {
				<-start
				l, err := ListenControl(path, Permissions{})
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(l)
				case errors.Is(err, ErrInUse):
					inUse.Add(1)
				default:
					t.Errorf("loser: %v", err)
				}
			})
		}
		close(start)
		all.Wait()
		if won.Load() != 1 || inUse.Load() != 7 || !connects(path) {
			t.Fatalf("%d won, %d found it in use", won.Load(), inUse.Load())
		}
		winner.Load().(net.Listener).Close()
	}
}

func TestCloseKeepsTheSuccessorsSocket(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "control.sock")
	old := listenControl(t, path, Permissions{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listenControl(t, path, Permissions{})
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if !connects(path) {
		t.Error("the successor's socket is gone")
	}
}

func TestCloseCanBeRepeatedAndToleratesAMissingFile(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "control.sock")
	l := listenControl(t, path, Permissions{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}

func TestEveryPathThatFitsWorks(t *testing.T) {
	dir := shortDir(t)
	for length := maxPath - 5; length <= maxPath+1; length++ {
		path := filepath.Join(dir, strings.Repeat("s", length-len(dir)-1))
		l, err := ListenControl(path, Permissions{})
		if length > maxPath {
			if !errors.Is(err, unix.ENAMETOOLONG) || !strings.Contains(err.Error(), "108 bytes") {
				t.Errorf("%d bytes: %v", length, err)
			}
			continue
		}
		if err != nil || !connects(path) {
			t.Fatalf("%d bytes: %v", length, err)
		}
		l.Close()
	}
	if left := names(t, dir); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestMissingDirectoryIsNamed(t *testing.T) {
	path := filepath.Join(shortDir(t), "missing", "control.sock")
	_, err := ListenControl(path, Permissions{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Errorf("got %v", err)
	}
}

func TestHeldLockIsNotWaitedForWithoutEnd(t *testing.T) {
	dir := shortDir(t)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	_, err = ListenControl(filepath.Join(dir, "control.sock"), Permissions{})
	if !errors.Is(err, errLocked) {
		t.Errorf("got %v", err)
	}
}

func TestListenersLeaveNoDescriptors(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "control.sock")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	round := func() {
		l := listenControl(t, path, Permissions{})
		ListenControl(path, Permissions{})
		ListenControl(file, Permissions{})
		ListenControl(path, Permissions{Owner: "no-such-user"})
		PrivateDir(filepath.Join(dir, "a", "b"))
		PrivateDir(filepath.Join(file, "b"))
		l.Close()
	}
	round()
	before := descriptors(t)
	for range 20 {
		round()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
