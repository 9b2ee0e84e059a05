package unitgen_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rollbridge/supervisor/systemd/systemdtest"
	"rollbridge/unitgen"
)

// gate stands for the program: it is ready, and notes how it has ended. The
// note takes a moment: some programs are started.
const gate = `#!/bin/sh
case $2 in
--ended) for i in 1 2 3 4 5; do /bin/true; done; echo $EXIT_CODE $EXIT_STATUS >/run/ended ;;
*) systemd-notify --ready; exec sleep infinity ;;
esac
`

// A host takes a unit over the bus, keeps it over a daemon-reload, and reads the
// same from the text.
func TestSystemdReadsBothFormsAlike(t *testing.T) {
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		units := apart(samples(installGate(t, h)))
		names := slices.Sorted(maps.Keys(units))
		for _, name := range names {
			start(t, h, name, units[name])
		}
		run(t, h, systemctl("start", names...)...) // joins the jobs
		taken := show(t, h, names)
		run(t, h, "systemctl", "daemon-reload")
		equal(t, "after a daemon-reload", show(t, h, names), taken)

		services := slices.DeleteFunc(slices.Clone(names), isScope)
		for _, name := range slices.DeleteFunc(slices.Clone(names), isService) {
			checkTransientFile(t, h, name, units[name])
		}
		run(t, h, systemctl("stop", names...)...)
		writeTexts(t, h, services, units)
		run(t, h, "sh", "-c", "cp /share/units/* /run/systemd/system/; systemctl reset-failed; systemctl daemon-reload")
		equal(t, "from its text", show(t, h, services), taken)
		if said := run(t, h, "sh", "-c", verify); said != "" {
			t.Errorf("verify: %s", said)
		}
	})
}

// verify has nothing to say about good units. It takes what follows a colon for
// another name.
const verify = `mkdir /tmp/verify
for f in /share/units/*; do cp "$f" "/tmp/verify/$(basename "$f" | tr : _)"; done
systemd-analyze verify /tmp/verify/*`

func isScope(name string) bool   { return strings.HasSuffix(name, ".scope") }
func isService(name string) bool { return !isScope(name) }

func systemctl(verb string, names ...string) []string {
	return append([]string{"systemctl", verb, "--"}, names...)
}

// The words of the manual for a worker with a policy.
func TestSystemdShowsTheRestartPolicy(t *testing.T) {
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		all := samples(installGate(t, h))
		for sample, want := range map[string]string{
			"companion":          "Restart=always RestartUSec=0 StartLimitBurst=4 StartLimitIntervalUSec=1min",
			"restarts-of-a-life": "Restart=always RestartUSec=2s StartLimitBurst=6 StartLimitIntervalUSec=infinity",
			"restarted-for-ever": "Restart=always RestartUSec=0 StartLimitIntervalUSec=0",
			"never-restarted":    "Restart=no StartLimitIntervalUSec=0",
		} {
			name := sample + ".service"
			start(t, h, name, named(t, all, sample))
			said := run(t, h, "systemctl", "show", name)
			for _, setting := range strings.Fields(want) {
				if !strings.Contains("\n"+said, "\n"+setting+"\n") {
					t.Errorf("%s has not %s", sample, setting)
				}
			}
		}
	})
}

func TestWithoutGraceAStopKillsAndIsNoted(t *testing.T) {
	systemdtest.Each(t, func(t *testing.T, h *systemdtest.Host) {
		start(t, h, "no-grace.service", named(t, samples(installGate(t, h)), "no-grace"))
		run(t, h, "systemctl", "start", "no-grace.service") // joins the job
		run(t, h, "systemctl", "stop", "no-grace.service")
		if said := run(t, h, "cat", "/run/ended"); said != "killed KILL\n" {
			t.Errorf("noted is %q", said)
		}
	})
}

// installGate brings the gate to a test host and describes the host.
func installGate(t *testing.T, h *systemdtest.Host) unitgen.Host {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.Share(), "gate"), []byte(gate), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, h, "install", "-m", "755", "/share/gate", "/usr/local/bin/gate")
	version, err := strconv.Atoi(h.Version())
	if err != nil {
		t.Fatal(err)
	}
	host := system(version)
	host.Program = "/usr/local/bin/gate"
	return host
}

// apart gives the samples names that do not meet.
func apart(all []sample) map[string]unitgen.Unit {
	units := map[string]unitgen.Unit{}
	for i, s := range all {
		if s.name != "proxied-for-reading" {
			units[strings.Replace(s.unit.Name, "rollbridge-", fmt.Sprintf("rollbridge-%d-", i), 1)] = s.unit
		}
	}
	return units
}

// named finds a sample.
func named(t *testing.T, all []sample, name string) unitgen.Unit {
	t.Helper()
	i := slices.IndexFunc(all, func(s sample) bool { return s.name == name })
	if i < 0 {
		t.Fatalf("there is no sample %s", name)
	}
	return all[i].unit
}

// start gives the bus form of a unit to systemd. A scope gets a process of its
// own.
func start(t *testing.T, h *systemdtest.Host, name string, u unitgen.Unit) {
	t.Helper()
	var words []string
	for _, p := range u.Properties {
		v := reflect.ValueOf(p.Value)
		if p.Name != "PIDs" {
			words = append(words, p.Name, signature(v.Type()))
			words = append(words, busParts(v, asNumbers)...)
		}
	}
	process := ""
	if isScope(name) {
		process = "sleep infinity >/dev/null 2>&1 & set -- \"$@\" PIDs au 1 $!\n"
	}
	call := []string{"sh", "-c", process + `exec busctl call --quiet -- org.freedesktop.systemd1 /org/freedesktop/systemd1 ` +
		`org.freedesktop.systemd1.Manager StartTransientUnit "ssa(sv)a(sa(sv))" "$@" 0`, "sh", name, "fail", strconv.Itoa(len(u.Properties))}
	run(t, h, append(call, words...)...)
}

// show is what systemd says of everything that units set, by their names.
func show(t *testing.T, h *systemdtest.Host, names []string) map[string]string {
	t.Helper()
	args := []string{"systemctl", "show", "--property=Id,LoadState"}
	for _, s := range samples(system(unitgen.Oldest)) {
		for _, p := range s.unit.Properties {
			args = append(args, "--property="+p.Name)
		}
	}
	said := run(t, h, append(append(args, "--"), names...)...)
	units := map[string]string{}
	for i, text := range strings.Split(strings.TrimSpace(said), "\n\n") {
		text = withoutRuns.ReplaceAllString(text, "")
		if !strings.Contains("\n"+text+"\n", "\nId="+names[i]+"\n") || !strings.Contains(text, "\nLoadState=loaded") {
			t.Errorf("%s is %s", names[i], text)
		}
		units[names[i]] = text
	}
	return units
}

// withoutRuns is what systemctl adds to a command about its last run, and
// that units are ordered before a shutdown, now before and now after ours.
var withoutRuns = regexp.MustCompile(` ; start_time=.*| ?shutdown\.target ?`)

// checkTransientFile compares a scope, which no file can define, with the file
// that systemd itself has written for it.
func checkTransientFile(t *testing.T, h *systemdtest.Host, name string, u unitgen.Unit) {
	t.Helper()
	theirs := parseUnitFile(t, run(t, h, "cat", "/run/systemd/transient/"+name))
	ours := parseUnitFile(t, u.Text())
	if a, b := theirs.properties(t), ours.properties(t); !reflect.DeepEqual(a, b) {
		t.Errorf("%s: systemd writes %v, we write %v", name, a, b)
	}
}

// writeTexts puts the texts of units where the host sees them.
func writeTexts(t *testing.T, h *systemdtest.Host, names []string, units map[string]unitgen.Unit) {
	t.Helper()
	dir := filepath.Join(h.Share(), "units")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(units[name].Text()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func run(t *testing.T, h *systemdtest.Host, argv ...string) string {
	t.Helper()
	out, err := h.Command(t.Context(), argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%.300q: %v: %s", argv, err, out)
	}
	return string(out)
}

// equal compares what systemd says of units with what it said before.
func equal(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	for name, text := range got {
		if text != want[name] {
			t.Errorf("%s is %s\n%s\nand was\n%s", name, when, text, want[name])
		}
	}
}
