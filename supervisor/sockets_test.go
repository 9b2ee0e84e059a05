package supervisor

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"rollbridge/socket/control"
	"rollbridge/supervisor/config"
)

// passed are sockets that systemd has made for one port.
func (w *world) passed(port int) {
	w.opt.Sockets = &Sockets{
		Renew: "renew them",
		Differ: func(c *config.Config) string {
			if c.Proxy.Port == port {
				return ""
			}
			return fmt.Sprintf("systemd listens on %d, not on %d", port, c.Proxy.Port)
		},
	}
}

func TestSocketsThatDifferAreToldAndKeepADeployFromStarting(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.mustDeploy("v1")
		w.runner.read()
		w.passed(w.opt.Config.Proxy.Port + 1)
		w.CheckSockets()
		if messages := w.messages(); messages[len(messages)-1] != "sockets differ from the configuration" {
			t.Errorf("the last event is %q", messages[len(messages)-1])
		}
		_, err := w.deploy("v2")
		refused, ok := errors.AsType[*control.Error](err)
		if !ok || refused.Code != "restart-needed" || !strings.HasPrefix(refused.Message, "systemd listens on ") || refused.Hint != "renew them" {
			t.Errorf("deploy: %#v", err)
		}
		equal(t, "diary", w.runner.read(), nil)
		equal(t, "states", w.states(), []string{"v1 active"})
		problems := w.status().Problems
		if len(problems) != 1 || problems[0] != err.Error()+"; run: renew them" {
			t.Errorf("problems: %q", problems)
		}
	})
}

func TestFileIsComparedWithTheSocketsAsItIsNow(t *testing.T) {
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.passed(9000)
		w.CheckSockets()
		if problems := w.status().Problems; len(problems) != 1 {
			t.Errorf("problems: %q", problems)
		}
		w.edit("proxy: {port: 0,", "proxy: {port: 9000,")
		w.mustDeploy("v1")
		if problems := w.status().Problems; problems != nil {
			t.Errorf("problems, now that the file says the same: %q", problems)
		}
		w.edit("proxy: {port: 9000", "proxy: {port: 9001")
		if _, err := w.deploy("v2"); err == nil || !strings.Contains(err.Error(), "not on 9001") {
			t.Errorf("deploy: %v", err)
		}
		w.edit("proxy: {port: 9001", "proxy: {port: 9000")
		w.edit("application: shop", "application: shop\ncontrol: {mode: 0600}")
		_, err := w.deploy("v2")
		refused, ok := errors.AsType[*control.Error](err)
		if !ok || !strings.HasPrefix(refused.Message, "Config changes to control cannot be applied live") || !strings.HasSuffix(refused.Hint, "or run: renew them") {
			t.Errorf("deploy with other rights of the socket: %#v", err)
		}
	})
}

func TestStatusShowsAllAddresses(t *testing.T) {
	unix := &net.UnixAddr{Net: "unix", Name: "/run/x.sock"}
	tcp := &net.TCPAddr{IP: net.IPv6loopback, Port: 4711}
	inBubble(t, shop, func(t *testing.T, w *world) {
		w.opt.Listening = []net.Addr{unix, tcp, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
		got := w.status().Proxy
		equal(t, "listen", got.Listen, []string{"unix:/run/x.sock", "[::1]:4711", "127.0.0.1:1"})
		if got.Host != w.opt.Config.Proxy.Host || got.Port != 4711 {
			t.Errorf("host %s, port %d", got.Host, got.Port)
		}
		w.passed(4711)
		if got := w.status().Proxy; got.Host != "::1" {
			t.Errorf("host of systemd's socket: %s", got.Host)
		}
		w.opt.Listening = []net.Addr{unix}
		if got := w.status().Proxy; got.Host != "" || got.Port != 0 || got.UpstreamHost != "127.0.0.1" {
			t.Errorf("without TCP: %+v", got)
		}
	})
}
