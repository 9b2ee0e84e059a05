package socket

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
)

func listenTCP(t *testing.T, addr string) *Listener {
	t.Helper()
	l, err := ListenTCP(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dials(addr string) bool {
	nc, err := net.Dial("tcp", addr)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

func TestListenTCPServesEveryFormOfAddress(t *testing.T) {
	addrs := []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0", "[::1]:0", ":0"}
	if _, err := net.LookupHost("localhost"); err == nil { // a bare chroot has no names at all
		addrs = append(addrs, "localhost:0")
	}
	for _, addr := range addrs {
		l := listenTCP(t, addr)
		if !dials(l.Addr().String()) {
			t.Errorf("%s: nobody answers on %s", addr, l.Addr())
		}
	}
}

func TestIPv4WildcardLeavesIPv6Alone(t *testing.T) {
	_, port, _ := net.SplitHostPort(listenTCP(t, "0.0.0.0:0").Addr().String())
	if dials("[::1]:" + port) {
		t.Error("0.0.0.0 answers on IPv6")
	}
	_, port, _ = net.SplitHostPort(listenTCP(t, "[::]:0").Addr().String())
	if !dials("127.0.0.1:"+port) || !dials("[::1]:"+port) {
		t.Error("[::] does not answer on both")
	}
}

func TestListenTCPSaysWhyNot(t *testing.T) {
	taken := listenTCP(t, "127.0.0.1:0").Addr().String()
	for _, row := range []struct{ addr, code, text string }{
		{taken, "EADDRINUSE", "listen EADDRINUSE: address already in use " + taken},
		{"192.0.2.1:0", "EADDRNOTAVAIL", "listen EADDRNOTAVAIL: "},
		{"no.such.host.invalid:0", "ENOTFOUND", "listen ENOTFOUND: "},
		{"127.0.0.1:65536", "EINVAL", "listen EINVAL: "},
		{"127.0.0.1", "EINVAL", "listen EINVAL: "},
	} {
		_, err := ListenTCP(row.addr)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", row.addr, err)
		}
		if e.Code != row.code || !strings.HasPrefix(e.Message, row.text) || !strings.HasSuffix(e.Message, row.addr) || e.Hint == "" {
			t.Errorf("%s: %s %q hint %q", row.addr, e.Code, e.Message, e.Hint)
		}
	}
	if _, err := ListenTCP(taken); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("not an errno: %v", err)
	}
}

func TestPortOfAClosedListenerCanBeTakenAtOnce(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	addr := l.Addr().String()
	client, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	served.Close() // ours ends first: it lingers in TIME_WAIT or FIN_WAIT
	l.Close()
	listenTCP(t, addr)
}
