package socket

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fileOf is a descriptor to pass, of a socket that stays open.
func fileOf(t *testing.T, s interface {
	File() (*os.File, error)
	Close() error
}) *os.File {
	t.Helper()
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); s.Close() })
	return f
}

func passedTCP(t *testing.T, addr string) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, l.(*net.TCPListener)), l.Addr().String()
}

func passedUnix(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, l)
}

func TestActivatedListenersAreTakenByName(t *testing.T) {
	dir := shortDir(t)
	first, firstAddr := passedTCP(t, "127.0.0.1:0")
	second, secondAddr := passedTCP(t, "[::]:0")
	third := passedUnix(t, filepath.Join(dir, "proxy"))
	control := passedUnix(t, filepath.Join(dir, "control"))

	found := passing(t, "own", "proxy:control:proxy:proxy", []*os.File{first, control, second, third})

	if want := []string{firstAddr, secondAddr, "unix:" + filepath.Join(dir, "proxy")}; !slices.Equal(found.Proxy, want) {
		t.Errorf("proxy: %q, want %q", found.Proxy, want)
	}
	if found.Control != "unix:"+filepath.Join(dir, "control") {
		t.Errorf("control: %q", found.Control)
	}
	if found.Message != "" || found.Again {
		t.Errorf("error %q, found again %t", found.Message, found.Again)
	}
	if found.Grandchild != "" || found.Descriptors != "" {
		t.Errorf("a child inherits %q and the descriptors %q", found.Grandchild, found.Descriptors)
	}
	if !dials(firstAddr) || !connects(filepath.Join(dir, "control")) {
		t.Error("closing it closed systemd's own socket, or removed its file")
	}
}

func TestSocketsForAnotherProcessAreIgnored(t *testing.T) {
	tcp, _ := passedTCP(t, "127.0.0.1:0")
	for _, pid := range []string{"1", ""} {
		found := passing(t, pid, "proxy", []*os.File{tcp})
		if found.Proxy != nil || found.Control != "" || found.Message != "" || found.Grandchild != "" {
			t.Errorf("LISTEN_PID=%s: %+v", pid, found)
		}
	}
}

func TestUnusableActivationIsExplained(t *testing.T) {
	dir := shortDir(t)
	tcp, tcpAddr := passedTCP(t, "127.0.0.1:0")
	control := passedUnix(t, filepath.Join(dir, "control"))
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "datagram")})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	connected, err := net.Dial("tcp", tcpAddr)
	if err != nil {
		t.Fatal(err)
	}
	abstract, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@rollbridge-test-" + filepath.Base(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(filepath.Join(dir, "pipe"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	sequence, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: filepath.Join(dir, "sequence")})
	if err != nil {
		t.Fatal(err)
	}
	const edit, both = "systemctl edit rollbridge.socket", "systemctl stop rollbridge.socket rollbridge-control.socket && systemctl start rollbridge-control.socket rollbridge.socket"
	for _, row := range []struct {
		names         string
		files         []*os.File
		message, hint string
	}{
		{"proxy", []*os.File{tcp}, "rollbridge-control.socket has passed no socket", both},
		{"control", []*os.File{control}, "rollbridge.socket has passed no socket", both},
		{"proxy:control:extra", []*os.File{tcp, control, tcp}, `a socket with the unknown name "extra" was passed`, "FileDescriptorName="},
		{"", []*os.File{tcp}, `a socket with the unknown name "LISTEN_FD_3" was passed`, "FileDescriptorName="},
		{"proxy:control:control", []*os.File{tcp, control, control}, "rollbridge-control.socket passed 2 control sockets", "systemctl edit rollbridge-control.socket"},
		{"proxy:control", []*os.File{tcp, tcp}, "rollbridge-control.socket passed " + tcpAddr + " as the control socket, which has to be a Unix socket", "ListenStream= to a path"},
		{"proxy:control", []*os.File{fileOf(t, udp), control}, "rollbridge.socket passed a proxy socket that cannot be used: it is a datagram socket", edit},
		{"proxy:control", []*os.File{tcp, fileOf(t, datagram)}, "rollbridge-control.socket passed a control socket that cannot be used: it is a datagram socket", "ListenStream="},
		{"proxy:control", []*os.File{tcp, fileOf(t, sequence)}, "it is no stream socket", "ListenStream="},
		{"proxy:control", []*os.File{fileOf(t, connected.(*net.TCPConn)), control}, "it is a connection", "Accept=no"},
		{"proxy:control", []*os.File{pipe, control}, "it is a pipe", edit},
		{"control:proxy", []*os.File{control, fileOf(t, abstract)}, "abstract sockets are not supported", "ListenStream= to a path"},
	} {
		found := passing(t, "own", row.names, row.files)
		if !strings.Contains(found.Message, row.message) || !strings.HasPrefix(found.Message, "socket activation: ") || !strings.Contains(found.Hint, row.hint) {
			t.Errorf("%s: %q, hint %q; want %q, hint %q", row.names, found.Message, found.Hint, row.message, row.hint)
		}
		if found.Again || found.Grandchild != "" || found.Proxy != nil {
			t.Errorf("%s: %+v", row.names, found)
		}
	}
}

func TestUnknownUnitsAreDescribed(t *testing.T) {
	tcp, _ := passedTCP(t, "127.0.0.1:0")
	found := passing(t, "own", "proxy", []*os.File{tcp}, "UNITS=unknown")
	if found.Message != "socket activation: the socket unit with FileDescriptorName=control has passed no socket" || !strings.Contains(found.Hint, "Sockets=") {
		t.Errorf("%q, %q", found.Message, found.Hint)
	}
}

func TestBrokenActivationVariablesAreNamed(t *testing.T) {
	tcp, _ := passedTCP(t, "127.0.0.1:0")
	for _, row := range []struct{ pid, fds, message string }{
		{"x", "1", `socket activation: LISTEN_PID is "x", not a process id`},
		{"0", "1", `socket activation: LISTEN_PID is "0", not a process id`},
		{"own", "many", `socket activation: LISTEN_FDS is "many", not a number of sockets`},
		{"own", "0", `socket activation: LISTEN_FDS is "0", not a number of sockets`},
		{"own", "-1", `socket activation: LISTEN_FDS is "-1", not a number of sockets`},
	} {
		found := passing(t, row.pid, "proxy", []*os.File{tcp}, "LISTEN_FDS="+row.fds)
		if found.Message != row.message || !strings.Contains(found.Hint, "env -u LISTEN_PID") || found.Again {
			t.Errorf("%+v: %+v", row, found)
		}
	}
}
