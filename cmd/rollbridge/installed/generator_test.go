package installed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

// good is a configuration that can be used, with a user that the generator
// cannot know.
func good(application string, port int) string {
	return fmt.Sprintf("application: %s\nproxy: {port: %d}\nuser: nobody-knows-yet\nprocesses:\n  - {id: web, policy: proxied, command: ./web, port: {from: 18000, to: 18099}}\n", application, port)
}

// broken is one with a mistake.
var broken = strings.Replace(good("broken", 9009), "port", "prot", 1)

func TestSystemdTakesEveryAddress(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		at := func(application, host string) string {
			return strings.Replace(good(application, 9000), "proxy: {", "proxy: {host: '"+host+"', ", 1)
		}
		h.sh(t, "echo 127.0.0.9 web.internal >>/etc/hosts; groupadd deploy")
		h.write(t, map[string]string{
			"rollbridge": good("main", 8000),
			"loopback":   at("a", "127.0.0.2"),
			"ipv6":       at("b", "::1"),
			"later":      strings.Replace(at("c", "10.9.8.7"), "9000", "9001", 1), // no interface has it
			"name":       at("d", "web.internal"),
			"ipv4":       strings.Replace(at("e", "0.0.0.0"), "9000", "9002", 1),
			"both":       strings.Replace(at("f", "::"), "9000", "9003", 1),
			"rights":     strings.Replace(good("g", 9004), "user:", "shutdownTimeoutMs: 1500\ncontrol: {path: '/run/50% of it/#\"a\";\\x20\\.sock', mode: '0600', owner: app, group: deploy}\nuser:", 1),
		})
		h.shows(t, "rollbridge.socket", "Listen=127.0.0.1:8000 (Stream)", "FreeBind=no", "UnitFileState=enabled", "FileDescriptorName=proxy")
		h.shows(t, "rollbridge@loopback.socket", "Listen=127.0.0.2:9000 (Stream)", "FreeBind=no")
		h.shows(t, "rollbridge@ipv6.socket", "Listen=[::1]:9000 (Stream)")
		h.shows(t, "rollbridge@later.socket", "Listen=10.9.8.7:9001 (Stream)", "FreeBind=yes")
		h.shows(t, "rollbridge@name.socket", "Listen=127.0.0.9:9000 (Stream)")
		h.shows(t, "rollbridge@both.socket", "Listen=[::]:9003 (Stream)", "BindIPv6Only=both")
		h.shows(t, "rollbridge-control@rights.socket", `Listen=/run/50% of it/#\"a\";\\x20\\.sock (Stream)`, "SocketMode=0600", "SocketUser=app", "SocketGroup=deploy")
		h.shows(t, "rollbridge-control@both.socket", "Listen=/run/rollbridge/both/control.sock (Stream)", "SocketMode=0660", "SocketGroup=rollbridge", "FileDescriptorName=control")
		h.shows(t, "rollbridge@rights.service", "TimeoutStopUSec=11.500000s", "SourcePath=/etc/rollbridge/rights.yaml")

		h.sh(t, "sysctl -q -w net.ipv6.bindv6only=1; systemctl start sockets.target")
		if said := h.sh(t, "systemctl --failed --no-legend"); said != "" {
			t.Error(said)
		}
		for address, want := range map[string]bool{
			"127.0.0.1/8000": true, "127.0.0.2/8000": false, "127.0.0.2/9000": true, "::1/9000": true, "127.0.0.9/9000": true,
			"127.0.0.1/9002": true, "::1/9002": false, "127.0.0.1/9003": true, "::1/9003": true,
		} {
			if got := h.connects(address); got != want {
				t.Errorf("%s connects: %v, want %v", address, got, want)
			}
		}
		if said := h.sh(t, "stat -c '%a %U:%G' '/run/50% of it/#\"a\";\\x20\\.sock' /run/rollbridge/both/control.sock"); said != "600 app:deploy\n660 root:rollbridge\n" {
			t.Errorf("control sockets are %s", said)
		}
	})
}

func TestSystemdListensAtSeveralAddresses(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		known := func(string) (int, error) { return 0, nil }
		c, problems := config.Parse(config.InstanceFile("rollbridge"), []byte(good("main", 8000)), config.Options{LookupUser: known})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		c.Proxy.Listen = []string{"127.0.0.1:8000", "[::1]:8000", "[::]:8001", "[fe80::1%lo]:8002", "10.9.8.7:8003", `unix:/run/shop/50% of "it"\x20.sock`}
		addresses, problems := unitgen.Addresses(c, unitgen.Hosts(""))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		h.write(t, map[string]string{"rollbridge": good("main", 8000)})
		for _, d := range unitgen.DaemonDropIns(c, c.File, addresses) {
			must(t, os.WriteFile(filepath.Join(h.Share(), "drop-in"), []byte(d.Text()), 0o644))
			h.sh(t, "install -D -m 644 /share/drop-in /etc/systemd/system/"+d.Path())
		}
		h.sh(t, "systemctl daemon-reload; systemctl start rollbridge.socket; systemctl is-active rollbridge.socket")
		h.shows(t, "rollbridge.socket", "Listen=[::1]:8000 (Stream)", "Listen=[::]:8001 (Stream)", "Listen=[fe80::1]:8002%lo (Stream)", "Listen=10.9.8.7:8003 (Stream)",
			`Listen=/run/shop/50% of \"it\"\\x20.sock (Stream)`, "FreeBind=yes", "RemoveOnStop=yes")
		if !h.connects("127.0.0.1/8000") || !h.connects("::1/8000") || !h.connects("127.0.0.1/8001") {
			t.Error("one does not listen")
		}
		h.sh(t, `test -S '/run/shop/50% of "it"\x20.sock'; systemctl stop rollbridge.socket; test ! -e '/run/shop/50% of "it"\x20.sock'`)
	})
}

func TestVerifyHasNothingToSay(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{"rollbridge": good("main", 8000), "my-shop": good("shop", 9001)})
		if said := h.sh(t, "systemd-analyze verify --man=no --generators=yes rollbridge.service rollbridge.socket rollbridge-control.socket "+
			"rollbridge@my-shop.service rollbridge@my-shop.socket rollbridge-control@my-shop.socket"); said != "" {
			t.Error(said)
		}
		h.sh(t, "mkdir -p /etc/systemd/system/rollbridge.service.d && cp /packaging/hardening.conf /etc/systemd/system/rollbridge.service.d/")
		if said := h.sh(t, "systemd-analyze verify --man=no --generators=yes rollbridge.service"); said != "" {
			t.Error(said)
		}
	})
}

// What the command shows is what systemd reads.
func TestTheCommandShowsWhatSystemdReads(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{
			"rollbridge": strings.ReplaceAll(good("main", 8000), "nobody-knows-yet", "app"),
			"shop":       strings.ReplaceAll(strings.Replace(good("shop", 9001), "port:", "host: localhost, port:", 1), "nobody-knows-yet", "app"),
		})
		for _, instance := range []string{"rollbridge", "shop"} {
			var files []string
			for _, d := range unitgen.BareDropIns(instance, "") {
				files = append(files, "/run/systemd/generator/"+d.Path())
			}
			want := ""
			for i, file := range files {
				if i > 0 {
					want += "\n"
				}
				want += "# " + file + "\n" + h.sh(t, "cat "+file)
			}
			if got := h.sh(t, "/programs/rollbridge units --daemon -c /etc/rollbridge/"+instance+".yaml"); got != want {
				t.Errorf("the command shows\n%s\nbut systemd reads\n%s", got, want)
			}
		}
	})
}

func TestAPortMovesWithAReloadAndARestartOfTheSocket(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{"rollbridge": good("main", 8000)})
		h.sh(t, "systemctl start rollbridge.socket rollbridge.service")
		if !h.connects("127.0.0.1/8000") {
			t.Fatal("nobody listens at the first port")
		}
		h.sh(t, "sleep 0.01; sed -i s/8000/8001/ /etc/rollbridge/rollbridge.yaml")
		if said := h.sh(t, "systemctl status --no-pager rollbridge.socket"); !strings.Contains(said, "changed on disk. Run 'systemctl daemon-reload'") {
			t.Errorf("status does not ask for a reload:\n%s", said)
		}
		h.sh(t, "systemctl daemon-reload")
		h.shows(t, "rollbridge.socket", "Listen=127.0.0.1:8001 (Stream)", "NeedDaemonReload=no")
		h.sh(t, "systemctl restart rollbridge.socket; systemctl is-active rollbridge.socket rollbridge-control.socket rollbridge.service")
		if h.connects("127.0.0.1/8000") || !h.connects("127.0.0.1/8001") {
			t.Error("the listener has not moved")
		}
	})
}

// A reload with units that no longer list an address has systemd drop its listener,
// and the next restart of the daemon would find none.
func TestADeletedConfigurationLosesNoListener(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{"rollbridge": good("main", 8000), "shop": good("shop", 9001)})
		for _, instance := range []string{"rollbridge", "shop"} {
			h.sh(t, "mkdir -p /var/lib/rollbridge/"+instance+"; cp /etc/rollbridge/"+instance+".yaml /var/lib/rollbridge/"+instance+"/active.yaml")
		}
		h.sh(t, "systemctl start rollbridge.socket rollbridge@shop.socket")
		h.sh(t, "mv /etc/rollbridge /etc/away; systemctl daemon-reload; mv /etc/away /etc/rollbridge; systemctl daemon-reload")
		h.sh(t, "systemctl restart rollbridge.service rollbridge@shop.service")
		for _, address := range []string{"127.0.0.1/8000", "127.0.0.1/9001"} {
			if !h.connects(address) {
				t.Errorf("nobody listens on %s any more: %s", address, h.sh(t, "systemctl status --no-pager rollbridge.socket rollbridge@shop.socket || :"))
			}
		}
	})
}

// The address is free again when it is bound anew, and systemd does not lose patience.
func TestSocketsCanBeRestartedOverAndOver(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{"rollbridge": good("main", 8000), "shop": good("shop", 9001)})
		for _, instance := range []string{"rollbridge", "rollbridge@shop"} {
			h.sh(t, "systemctl start "+instance+".service")
			for range 8 {
				h.sh(t, "systemctl restart "+instance+".socket")
			}
			h.sh(t, "systemctl start "+instance+".service; systemctl is-active "+instance+".socket") // it is still starting
		}
	})
}

// Before there is a configuration nothing is wrong; when one is written, systemd
// knows that it has not read it.
func TestTheFirstConfigurationIsNoticed(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		said := h.sh(t, "systemctl start rollbridge.socket; systemctl status --no-pager rollbridge.socket || :")
		if strings.Contains(said, "changed on disk") {
			t.Errorf("without a configuration it says\n%s", said)
		}
		h.shows(t, "rollbridge.socket", "ActiveState=inactive", "NeedDaemonReload=no")
		must(t, os.WriteFile(filepath.Join(h.Share(), "rollbridge.yaml"), []byte(good("main", 8000)), 0o644))
		h.sh(t, "cp /share/rollbridge.yaml /etc/rollbridge/")
		if said := h.sh(t, "systemctl start rollbridge.socket"); !strings.Contains(said, "changed on disk. Run 'systemctl daemon-reload'") {
			t.Errorf("with a new configuration it says %q", said)
		}
	})
}

func TestInstancesComeAndGoWithTheirFiles(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{"my-shop": good("shop", 9001), "blog": good("blog", 9002)})
		h.sh(t, "systemctl start rollbridge@my-shop.socket rollbridge@blog.socket")
		h.sh(t, "systemctl is-active rollbridge@my-shop.socket rollbridge-control@my-shop.socket rollbridge@blog.socket rollbridge-control@blog.socket")
		if !h.connects("127.0.0.1/9001") || !h.connects("127.0.0.1/9002") {
			t.Error("an instance does not listen")
		}
		if err := h.Reboot(); err != nil {
			t.Fatal(err)
		}
		h.sh(t, "systemctl is-active rollbridge@my-shop.socket rollbridge@my-shop.service rollbridge@blog.service rollbridge-control@blog.socket")
		h.shows(t, "rollbridge.socket", "ActiveState=inactive", "ConditionResult=no")

		h.sh(t, "systemctl stop rollbridge@blog.socket; rm /etc/rollbridge/blog.yaml; systemctl daemon-reload")
		if said := h.sh(t, "systemctl list-dependencies --plain sockets.target multi-user.target; ls /run/systemd/generator"); strings.Contains(said, "blog") {
			t.Errorf("there is still something of it:\n%s", said)
		}
		h.sh(t, "systemctl mask --quiet rollbridge@my-shop.socket rollbridge-control@my-shop.socket rollbridge@my-shop.service")
		if err := h.Reboot(); err != nil {
			t.Fatal(err)
		}
		if said, _ := h.try("systemctl --no-legend list-units --state=active,failed 'rollbridge*'"); said != "" {
			t.Errorf("masked and removed instances: %s", said)
		}
	})
}

// A broken file is told of, and takes nobody else with it.
func TestABrokenFileFailsNeitherAReloadNorABoot(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		h.sh(t, standIn)
		h.write(t, map[string]string{"rollbridge": good("main", 8000), "good": good("good", 9001), "shop": good("shop", 9002), "never": "{"})
		h.sh(t, "mkdir -p /var/lib/rollbridge/shop; cp /etc/rollbridge/shop.yaml /var/lib/rollbridge/shop/active.yaml")
		h.write(t, map[string]string{"rollbridge": broken, "shop": broken})
		const problem = "/etc/rollbridge/shop.yaml:2:9: unknown key proxy.prot; hint: did you mean `port`?"
		told := h.sh(t, "journalctl --sync; journalctl --no-pager -b -t rollbridge-generator -p warning -o cat")
		for _, want := range []string{problem, "/etc/rollbridge/never.yaml:1:2: invalid YAML", "/etc/rollbridge/rollbridge.yaml: there are no settings of an earlier deploy"} {
			if !strings.Contains(told, want) {
				t.Errorf("the journal does not tell %q:\n%s", want, told)
			}
		}
		if err := h.Reboot(); err != nil {
			t.Fatal(err)
		}
		h.sh(t, "systemctl is-active rollbridge.socket rollbridge@good.socket rollbridge@good.service rollbridge@shop.socket rollbridge@shop.service")
		h.shows(t, "rollbridge.socket", "Listen=127.0.0.1:8182 (Stream)")
		for address, want := range map[string]bool{"127.0.0.1/8182": true, "127.0.0.1/9001": true, "127.0.0.1/9002": true, "127.0.0.1/8000": false} {
			if got := h.connects(address); got != want {
				t.Errorf("%s connects: %v, want %v", address, got, want)
			}
		}
		if said := h.sh(t, "systemctl --failed --no-legend"); said != "" {
			t.Errorf("failed: %s", said)
		}
		if said := h.sh(t, "systemctl cat rollbridge@shop.socket"); !strings.Contains(said, "# "+problem) {
			t.Errorf("systemctl cat does not tell %q:\n%s", problem, said)
		}
	})
}
