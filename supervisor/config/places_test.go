package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPlacesFollowFromWhereTheConfigurationLies(t *testing.T) {
	root := Options{UID: 0, Home: "/root"}
	user := Options{UID: 1000, Home: "/home/ann", RuntimeDir: "/run/user/1000"}
	elsewhere := user
	elsewhere.StateHome = "/data/state"
	bare := Options{UID: 1000}
	for _, c := range []struct {
		opt                  Options
		file                 string
		name, state, control string
		run                  string
	}{
		{root, "/etc/rollbridge/rollbridge.yaml", "rollbridge", "/var/lib/rollbridge/rollbridge", "/run/rollbridge/rollbridge/control.sock", "/run/rollbridge/rollbridge"},
		{root, "/etc/rollbridge/shop.yaml", "shop", "/var/lib/rollbridge/shop", "/run/rollbridge/shop/control.sock", "/run/rollbridge/shop"},
		{root, "/root/.config/rollbridge/shop.yaml", "shop", "/root/.local/state/rollbridge/shop", "/tmp/rollbridge-0/shop/control.sock", "/tmp/rollbridge-0/shop"},
		{root, "/srv/app/rollbridge.yaml", "store", "/var/lib/rollbridge/store", "/tmp/rollbridge-0/store/control.sock", "/run/rollbridge/store"},
		{user, "/etc/rollbridge/shop.yaml", "shop", "/var/lib/rollbridge/shop", "/run/rollbridge/shop/control.sock", "/run/rollbridge/shop"},
		{user, "/home/ann/.config/rollbridge/shop.yaml", "shop", "/home/ann/.local/state/rollbridge/shop", "/run/user/1000/rollbridge/shop/control.sock", "/run/user/1000/rollbridge/shop"},
		{user, "/srv/app/rollbridge.yaml", "store", "/home/ann/.local/state/rollbridge/store", "/run/user/1000/rollbridge/store/control.sock", "/run/user/1000/rollbridge/store"},
		{elsewhere, "/srv/app/rollbridge.yaml", "store", "/data/state/rollbridge/store", "/run/user/1000/rollbridge/store/control.sock", "/run/user/1000/rollbridge/store"},
		{bare, "/srv/app/rollbridge.yaml", "store", "/var/tmp/rollbridge-1000/store", "/tmp/rollbridge-1000/store/control.sock", "/tmp/rollbridge-1000/store"},
	} {
		want := Places{Name: c.name, State: c.state, Run: c.run, Control: c.control}
		if got := c.opt.Places(c.file, "store"); got != want {
			t.Errorf("%s as uid %d:\n got %+v\nwant %+v", c.file, c.opt.UID, got, want)
		}
	}
}

func TestRuntimeDirectoryIsFoundWithoutALogin(t *testing.T) {
	users := t.TempDir()
	uid := os.Geteuid()
	own := filepath.Join(users, "1")
	if err := os.Symlink(users, filepath.Join(users, "2")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if uid == 0 {
		if err := os.Chown(own, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		given string
		uid   int
		want  string
	}{
		{"/given", 1, "/given"}, {"/given", 0, "/given"}, {"", 0, ""}, {"", 2, ""}, {"", 3, ""},
	} {
		if got := runtimeDir(tt.given, tt.uid, users); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	if got := runtimeDir("", 1, users); uid == 0 && got != own {
		t.Errorf("%q", got)
	}
	if got := runtimeDir("", 1, users); uid != 0 && uid != 1 && got != "" {
		t.Errorf("a directory of somebody else: %q", got)
	}
}

func TestConfigurationsOfTheHostAreReadAsRootsByEverybody(t *testing.T) {
	const src = "user: app\nproxy: {port: 1}\nprocesses: [{id: web, policy: proxied, command: x, port: 1}]"
	if c, problems := Parse("/etc/rollbridge/shop.yaml", []byte(src), testOptions); len(problems) > 0 || c.User != "app" {
		t.Errorf("%v", problems)
	}
	_, problems := Parse("/etc/rollbridge/shop.yaml", []byte("proxy: {port: 1}\nprocesses: [{id: web, policy: proxied, command: x, port: 1}]"), testOptions)
	if len(problems) != 1 || problems[0].Message != "user is required, since the daemon is root" {
		t.Errorf("%v", problems)
	}
	_, problems = Parse("/home/me/.config/rollbridge/shop.yaml", []byte(src), testOptions)
	if len(problems) != 1 || problems[0].Message != "user must be the daemon's own user, since the daemon is not root" ||
		problems[0].Fix != "remove user: everything runs as that user (uid 1000); for another user the daemon has to be root" {
		t.Errorf("%+v", problems)
	}
}
