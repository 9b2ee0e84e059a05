package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAnApplicationIsThatOfWhoStillHasIt(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := filepath.Join(home, ".config", "rollbridge")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"mine": plainConfig("shop"), "renamed": plainConfig("blog"), "broken": "application: shop\nproxi: {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for claim, want := range map[string]bool{
		filepath.Join(dir, "mine.yaml"):    true,
		filepath.Join(dir, "broken.yaml"):  true, // it may be
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
