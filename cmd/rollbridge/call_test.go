package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

// fakeDaemon answers each command line with what respond returns, and with
// nothing when that is "".
func fakeDaemon(t *testing.T, respond func(line string) string) *remote {
	t.Helper()
	dir, err := os.MkdirTemp("", "rb") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				line, _ := bufio.NewReader(conn).ReadString('\n')
				io.WriteString(conn, respond(line))
			}()
		}
	}()
	return &remote{config: &config.Config{File: "/x/rollbridge.yaml"}, socket: l.Addr().String(), pulse: 200 * time.Millisecond}
}

func TestDaemonWithoutASignOfLifeIsGivenUp(t *testing.T) {
	r := fakeDaemon(t, func(string) string { return "" })
	_, _, err := call[supervisor.DeployResult](t.Context(), r, "deploy", struct{}{}, nil)
	if err == nil || !strings.Contains(err.Error(), "gives no sign of life") {
		t.Errorf("%v", err)
	}
}

func TestBusyDaemonIsWaitedFor(t *testing.T) {
	alive := make(chan struct{}, 100)
	r := fakeDaemon(t, func(line string) string {
		if strings.Contains(line, `"status"`) {
			alive <- struct{}{}
			return statusAnswer + "\n"
		}
		<-alive
		return answers["deploy"] + "\n"
	})
	r.pulse = time.Second
	if _, _, err := call[supervisor.DeployResult](t.Context(), r, "deploy", struct{}{}, nil); err != nil {
		t.Error(err)
	}
}

func TestWhereToConfigureIsSaid(t *testing.T) {
	for want, got := range map[string]string{
		"name the instance: -c blog or -c shop":          nameOne([]config.Instance{{Name: "blog"}, {Name: "shop"}}, true),
		"on a server write /etc/rollbridge/rollbridge.y": nameOne(nil, true),
		"name the file: --config <path>":                 nameOne(nil, false),
	} {
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
