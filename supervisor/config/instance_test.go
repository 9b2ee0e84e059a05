package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestAFileIsReadAsIfItLayElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "any.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	known := func(string) (int, error) { return 1, nil }
	o := Options{UID: 1000, LookupUser: known}

	write("user: app\nproxy: {}\nprocesses: [{id: web, policy: proxied, command: ./web, port: 0}]\n")
	c, err := o.LoadAs(path, InstanceFile("shop"))
	if err != nil || c.Application != "shop" || c.Control.Path != "/run/rollbridge/shop/control.sock" || c.File != "/etc/rollbridge/shop.yaml" {
		t.Errorf("%v: %+v", err, c)
	}
	write("proxy: {prot: 1}")
	var problems Problems
	if _, err := o.LoadAs(path, InstanceFile("shop")); !errors.As(err, &problems) || problems[0].File != "/etc/rollbridge/shop.yaml" {
		t.Errorf("%v", err)
	}
	var unread *LoadError
	if _, err := o.LoadAs(filepath.Dir(path), InstanceFile("shop")); !errors.As(err, &unread) {
		t.Errorf("%v", err)
	}
}

func TestALaterProblemHasThePlaceOfItsKey(t *testing.T) {
	c := &Config{File: "shop.yaml", Source: []byte("proxy: &p\n  port: 0\ncontrol: {}\nx-more:\n  <<: *p\n")}
	for _, s := range []struct {
		key          []string
		path         string
		line, column int
	}{
		{[]string{"proxy", "port"}, "proxy.port", 2, 9},
		{[]string{"proxy", "host"}, "proxy.host", 1, 8},
		{[]string{"control", "path"}, "control.path", 3, 10},
		{[]string{"x-more", "port"}, "x-more.port", 2, 9},
		{[]string{"user"}, "user", 1, 1},
		{[]string{"proxy", "port", "deeper"}, "proxy.port.deeper", 2, 9},
	} {
		p := c.ProblemAt(s.key, "wrong", "mend it")
		if p.Path != s.path || p.Line != s.line || p.Column != s.column || p.Message != "wrong" || p.Fix != "mend it" {
			t.Errorf("%v: %+v", s.key, p)
		}
	}
}
