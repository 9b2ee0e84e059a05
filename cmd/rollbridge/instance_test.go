package main

import (
	"os"
	"path/filepath"
	"testing"

	"rollbridge/supervisor"
	"rollbridge/supervisor/config"
)

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
