package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

func TestARenamedApplicationLeavesTheDaemonWhatItHad(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	file := filepath.Join(home, ".config", "rollbridge", "rollbridge.yaml")
	places := config.PlacesOf(file, "")
	for _, dir := range []string{filepath.Dir(file), places.State} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		file:                  plainConfig("store"),
		places.ActiveConfig(): plainConfig("shop"),
		places.StateFile():    `{"version":1,"application":"shop","activeReleaseId":"v1","releases":[]}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(application string) (broken error) {
		t.Helper()
		cfg, broken, err := newTestEnv(t).loadForDaemon(daemonOptions{config: file})
		if err != nil || cfg.Application != application {
			t.Fatalf("%+v, %v", cfg, err)
		}
		return broken
	}
	if broken := load("shop"); broken == nil || !strings.Contains(broken.Error(), `remembers application "shop", not "store"`) {
		t.Errorf("%v", broken)
	}
	if err := os.Remove(places.StateFile()); err != nil { // nothing is left of it
		t.Fatal(err)
	}
	if broken := load("store"); broken != nil {
		t.Error(broken)
	}
}

func TestAnApplicationIsThatOfWhoStillHasIt(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	dir := filepath.Join(home, ".config", "rollbridge")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"mine": plainConfig("shop"), "renamed": plainConfig("blog"), "broken": "application: shop\nproxi: {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	running := filepath.Join(dir, "running.yaml") // and its file is gone
	lock := config.PlacesOf(running, "").Lock()
	if err := os.MkdirAll(filepath.Dir(lock), 0o700); err != nil {
		t.Fatal(err)
	}
	held, err := supervisor.TakeLock(lock, "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	for claim, want := range map[string]bool{
		filepath.Join(dir, "mine.yaml"):    true,
		filepath.Join(dir, "broken.yaml"):  true, // it may be
		running:                            true,
		filepath.Join(dir, "renamed.yaml"): false,
		filepath.Join(dir, "gone.yaml"):    false,
		filepath.Join(dir, "mi"):           false, // cut off
		"\x00\x00\x00":                     false,
		dir:                                false,
	} {
		if got := stillHas(claim, "shop"); got != want {
			t.Errorf("a claim of %q counts: %v", claim, got)
		}
	}
}
