package config

import "testing"

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
