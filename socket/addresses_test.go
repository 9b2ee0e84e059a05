package socket

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rollbridge/socket/sockettest"
)

func listenAll(t *testing.T, addrs ...string) []*Listener {
	t.Helper()
	all, err := ListenAll(addrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseAll(all) })
	return all
}

func TestListenAllServesEveryAddress(t *testing.T) {
	path := filepath.Join(shortDir(t), "proxy.sock")
	all := listenAll(t, "127.0.0.1:0", "unix:"+path, "[::1]:0")
	if !dials(all[0].Address()) || !connects(path) || !dials(all[2].Address()) {
		t.Errorf("somebody does not answer: %s, %s, %s", all[0].Address(), all[1].Address(), all[2].Address())
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o666 || all[1].Address() != "unix:"+path {
		t.Errorf("mode %v, address %s", info.Mode(), all[1].Address())
	}
	CloseAll(all)
	if left := names(t, filepath.Dir(path)); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestListenAllListensOnAllOrNone(t *testing.T) {
	dir := shortDir(t)
	path, file := filepath.Join(dir, "proxy.sock"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	answered := filepath.Join(dir, "answered")
	listenControl(t, answered, Permissions{})
	addr := sockettest.FreeAddress(t)
	taken := listenTCP(t, "127.0.0.1:0").Address()
	for _, row := range []struct {
		bad   string
		cause error
		text  string
	}{
		{taken, syscall.EADDRINUSE, "listen EADDRINUSE: address already in use " + taken},
		{"unix:" + file, ErrNotSocket, "proxy socket " + file + ": a file is in the way"},
		{"unix:" + answered, ErrInUse, "The proxy socket " + answered + " is already in use by another process."},
		{"unix:" + dir + "/missing/s", os.ErrNotExist, "proxy socket " + dir + "/missing/s: directory " + dir + "/missing: no such file or directory"},
		{"unix:" + dir + strings.Repeat("/long", 30), syscall.ENAMETOOLONG, "bytes, a socket's can have 107"},
		{"unix:@name", nil, "proxy socket @name: abstract sockets are not supported"},
	} {
		_, err := ListenAll([]string{addr, "unix:" + path, row.bad})
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(e.Message, row.text) || row.cause != nil && !errors.Is(err, row.cause) {
			t.Errorf("%s: %v", row.bad, err)
			continue
		}
		if !strings.Contains(e.Hint, "proxy.") {
			t.Errorf("%s: hint %q", row.bad, e.Hint)
		}
		if dials(addr) || names(t, dir) != "answered file" {
			t.Errorf("%s: left behind: %s", row.bad, names(t, dir))
		}
	}
}

func TestLeftOverProxySocketIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "proxy.sock")
	leaveStale(t, path)
	listenAll(t, "unix:"+path)
	if !connects(path) {
		t.Error("nobody answers")
	}
}

func TestListenersAreComparedByWhereTheyListen(t *testing.T) {
	dir := shortDir(t)
	path, link := filepath.Join(dir, "s"), filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	only, err := net.Listen("tcp6", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	socket := listenAll(t, "unix:"+path)[0]
	local, local6 := listenTCP(t, "127.0.0.1:0"), listenTCP(t, "[::1]:0")
	all, all4, all6 := listenTCP(t, "[::]:0"), listenTCP(t, "0.0.0.0:0"), newListener(only.(*net.TCPListener))
	t.Cleanup(func() { all6.Close() })
	at := func(l *Listener, host string) string {
		_, port, _ := net.SplitHostPort(l.Address())
		return net.JoinHostPort(host, port)
	}
	for _, row := range []struct {
		l    *Listener
		addr string
		same bool
	}{
		{local, at(local, "127.0.0.1"), true},
		{local, at(local, "::ffff:127.0.0.1"), true},
		{local, "127.0.0.1:0", true},
		{local, at(local, "127.0.0.2"), false},
		{local, at(all, "127.0.0.1"), false},
		{local, at(local, "0.0.0.0"), false},
		{local, at(local, "::"), false},
		{local, at(local, "::1"), false},
		{local, at(local, "no.such.host.invalid"), true}, // nobody can tell
		{local, at(all, "no.such.host.invalid"), false},
		{local6, at(local6, "::1"), true},
		{local6, at(local6, "0:0:0:0:0:0:0:1"), true},
		{all, at(all, "::"), true},
		{all, at(all, "0.0.0.0"), true},
		{all, at(all, "127.0.0.1"), false}, // others could connect too
		{all4, at(all4, "0.0.0.0"), true},
		{all4, at(all4, "::"), false},
		{all6, at(all6, "0.0.0.0"), false},
		{all6, at(all6, "::"), false},
		{local, "unix:" + path, false},
		{socket, "unix:" + path, true},
		{socket, "unix:" + link + "/../" + filepath.Base(dir) + "/s", true},
		{socket, "unix:" + link + "/s", true},
		{socket, "unix:" + path + "2", false},
		{socket, at(local, "127.0.0.1"), false},
	} {
		missing, extra := Compare(soon(t), []*Listener{row.l}, []string{row.addr})
		if same := missing == nil && extra == nil; same != row.same || len(missing) != len(extra) {
			t.Errorf("%s and %s: missing %q, extra %q", row.l.Address(), row.addr, missing, extra)
		}
	}
	if _, err := net.LookupHost("localhost"); err == nil {
		if missing, extra := Compare(soon(t), []*Listener{local}, []string{at(local, "localhost")}); missing != nil || extra != nil {
			t.Errorf("localhost: missing %q, extra %q", missing, extra)
		}
	}
}

func TestComparisonNamesWhatDiffers(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	all := listenAll(t, "127.0.0.1:0", "unix:"+path, "[::1]:0")
	missing, extra := Compare(context.Background(), all, []string{"unix:" + path, "127.0.0.1:1", all[0].Address(), "unix:/other"})
	if !slices.Equal(missing, []string{"127.0.0.1:1", "unix:/other"}) || !slices.Equal(extra, []string{all[2].Address()}) {
		t.Errorf("missing %q, extra %q", missing, extra)
	}
}
