package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/supervisor/config"
	"rollbridge/unitgen"
)

func TestUnitsAreStaleWhenTheirSettingsDiffer(t *testing.T) {
	dir := t.TempDir()
	put := func(all []unitgen.DropIn) {
		t.Helper()
		for _, d := range all {
			path := filepath.Join(dir, d.Path())
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(d.Text()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	load := func(text string) *config.Config {
		t.Helper()
		cfg, problems := config.Parse("/etc/rollbridge/shop.yaml", []byte("user: root\n"+text+"\nprocesses: [{id: web, policy: proxied, command: x, port: 0}]\n"), config.DefaultOptions())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return cfg
	}
	before := load("proxy: {port: 9001}")
	if got := staleUnits(before, dir); got != nil {
		t.Errorf("no generator: %v", got)
	}
	put(unitgen.BareDropIns(unitgen.DefaultInstance, config.InstanceDir))
	all := func(text string, want string) {
		t.Helper()
		got := staleUnits(load(text), dir)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].Fix, want) || got[0].Line == 0) {
			t.Errorf("%s: %+v, want %q", text, got, want)
		}
	}
	const restart = "`systemctl daemon-reload && systemctl restart rollbridge@shop.socket`"
	all("proxy: {port: 9001}", restart) // a new instance

	written, problems := daemonDropIns(before)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i := range written {
		written[i].Notes = []string{"a note of the generator"}
	}
	put(written)
	all("proxy: {port: 9001}", "")
	all("proxy: {port: 9001, drainTimeoutMs: 5}\nrestartGraceMs: 7", "") // what units do not have
	all("proxy: {port: 9002}", restart)
	all("proxy: {port: 9001}\ncontrol: {mode: \"0666\"}", restart)
	all("proxy: {port: 9001}\nshutdownTimeoutMs: 1000", "`systemctl daemon-reload`")

	cfg := *before
	cfg.File = "/srv/shop.yaml"
	if got := staleUnits(&cfg, dir); got != nil {
		t.Errorf("no instance of the host: %v", got)
	}
}
