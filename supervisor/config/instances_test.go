package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNamesOfInstancesAreNoPaths(t *testing.T) {
	for arg, want := range map[string]bool{
		"shop": true, "shop.example": true, "my-shop_2": true,
		"": false, "./shop": false, "a/shop": false, "shop.yaml": false, "shop.yml": false, "shop.json": false,
		"rollbridge.js": false, ".hidden": false, "..": false, "a\nb": false,
	} {
		if got := CanName(arg); got != want {
			t.Errorf("%q: %v", arg, got)
		}
	}
}

// aUser is a user with a home and a runtime directory of their own.
func aUser(t *testing.T) Options {
	t.Helper()
	o := Options{UID: 1000, Home: t.TempDir(), RuntimeDir: t.TempDir()}
	for _, dir := range []string{o.userDir(), filepath.Join(o.RuntimeDir, "rollbridge", "lost")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestInstancesAreFiles(t *testing.T) {
	o := aUser(t)
	for _, name := range []string{"shop.yaml", "blog.yaml", "notes.txt", "old.yml"} {
		write(t, filepath.Join(o.userDir(), name), "")
	}
	if err := os.Mkdir(filepath.Join(o.userDir(), "dir.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, o.Places(filepath.Join(o.userDir(), "lost.yaml"), "").Control, "")
	got := o.instancesIn(o.userDir())
	want := []Instance{
		{Name: "blog", File: filepath.Join(o.userDir(), "blog.yaml"), Own: true},
		{Name: "lost", File: filepath.Join(o.userDir(), "lost.yaml"), Own: true, Gone: true},
		{Name: "shop", File: filepath.Join(o.userDir(), "shop.yaml"), Own: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	for name, path := range map[string]string{"shop": "shop.yaml", "lost": "lost.yaml"} {
		if got, err := o.named(name); err != nil || got != filepath.Join(o.userDir(), path) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	_, err := o.named("shup")
	if err == nil || !strings.Contains(err.Error(), `There is no instance "shup"`) || !strings.Contains(err.Error(), "blog, lost, shop") {
		t.Errorf("%v", err)
	}
}

func TestRootHasNoInstancesBesideTheHosts(t *testing.T) {
	for uid, want := range map[int]int{0: 1, 1000: 2} {
		if got := (Options{UID: uid, Home: "/home/ann"}).instanceDirs(); len(got) != want || got[len(got)-1] != systemDir {
			t.Errorf("uid %d: %v", uid, got)
		}
	}
}

func TestTwoInstancesOfOneApplicationAreAProblem(t *testing.T) {
	o := aUser(t)
	const rest = "proxy: {port: 0}\nprocesses: [{id: web, policy: proxied, command: x, port: 0}]\n"
	load := func(path string) *Config {
		t.Helper()
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := Parse(path, src, o)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return c
	}
	shop := write(t, filepath.Join(o.userDir(), "shop.yaml"), rest)
	store := write(t, filepath.Join(o.userDir(), "store.yaml"), "# the same\napplication: shop\n"+rest)
	write(t, filepath.Join(o.userDir(), "blog.yaml"), rest)
	write(t, filepath.Join(o.userDir(), "broken.yaml"), "application: shop\n")
	for path, want := range map[string]Problem{
		shop:  {File: shop, Line: 1, Column: 1, Path: "application", Message: `application "shop" is also that of ` + store},
		store: {File: store, Line: 2, Column: 14, Path: "application", Message: `application "shop" is also that of ` + shop},
	} {
		got := o.namesakes(load(path))
		if len(got) != 1 || got[0].File != want.File || got[0].Line != want.Line || got[0].Column != want.Column || got[0].Path != want.Path || got[0].Message != want.Message || got[0].Fix == "" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := o.namesakes(load(filepath.Join(o.userDir(), "blog.yaml"))); len(got) > 0 {
		t.Errorf("%v", got)
	}
	elsewhere := write(t, filepath.Join(t.TempDir(), "rollbridge.yaml"), "application: shop\n"+rest)
	if got := o.namesakes(load(elsewhere)); len(got) > 0 {
		t.Errorf("no instance: %v", got)
	}
}
