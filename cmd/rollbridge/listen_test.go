package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"rollbridge/socket"
	"rollbridge/supervisor/config"
)

func TestSocketUnitsOfAnInstance(t *testing.T) {
	for file, want := range map[string]socket.Units{
		"/etc/rollbridge/rollbridge.yaml": {Proxy: "rollbridge.socket", Control: "rollbridge-control.socket"},
		"/etc/rollbridge/my-shop.yaml":    {Proxy: "rollbridge@my-shop.socket", Control: "rollbridge-control@my-shop.socket"},
		"/srv/shop/rollbridge.yaml":       {},
	} {
		if got := passedBy(file); got != want {
			t.Errorf("%s: %+v", file, got)
		}
	}
}

func TestDirectoryThatOthersMayHaveMadeIsRefusedWhateverTheGroup(t *testing.T) {
	parent := fmt.Sprintf("/tmp/rollbridge-%d", os.Getuid())
	if err := os.MkdirAll(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(parent) // unless a daemon has it
	dir, err := os.MkdirTemp(parent, "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := &config.Config{File: "/srv/shop/rollbridge.yaml", Control: config.Control{Path: filepath.Join(dir, "control.sock"), Group: operators}}
	if err := controlDirectory(cfg, cfg.Control.Path); err != nil {
		t.Errorf("a private one: %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if controlDirectory(cfg, cfg.Control.Path) == nil {
		t.Error("one that others may enter is taken")
	}
}

func TestControlSocketOfTheHostIsForItsOperators(t *testing.T) {
	mode := func(m fs.FileMode) *fs.FileMode { return &m }
	const ofHost, elsewhere = "/etc/rollbridge/shop.yaml", "/srv/shop/rollbridge.yaml"
	for _, row := range []struct {
		file     string
		uid      int
		hasGroup bool
		control  config.Control
		want     socket.Permissions
	}{
		{ofHost, 0, true, config.Control{}, socket.Permissions{Mode: 0o660, Group: "rollbridge"}},
		{ofHost, 0, false, config.Control{}, socket.Permissions{}},
		{ofHost, 1000, true, config.Control{}, socket.Permissions{}},
		{elsewhere, 0, true, config.Control{}, socket.Permissions{}},
		{ofHost, 0, true, config.Control{Group: "deploy", Owner: "me"}, socket.Permissions{Mode: 0o660, Owner: "me", Group: "deploy"}},
		{ofHost, 0, true, config.Control{Mode: mode(0o600)}, socket.Permissions{Mode: 0o600, Group: "rollbridge"}},
		{elsewhere, 0, true, config.Control{Mode: mode(0o666), Group: "deploy"}, socket.Permissions{Mode: 0o666, Group: "deploy"}},
	} {
		cfg := &config.Config{File: row.file, Control: row.control}
		got := controlPermissions(cfg, row.uid, func(name string) bool { return row.hasGroup && name == "rollbridge" })
		if got != row.want {
			t.Errorf("%+v: %+v", row, got)
		}
	}
}
