package main

import (
	"io/fs"
	"strings"
	"testing"
)

func TestWhoMayIsSaidWithWhatHelps(t *testing.T) {
	const gid = 54321 // nobody's
	app := person{uid: 1000, name: "app", session: []int{1000}, member: []int{1000}}
	member, nameless, inside := app, app, app
	member.member = []int{1000, gid}
	nameless.name = ""
	inside.session = []int{1000, gid}
	for _, c := range []struct {
		who   person
		gid   int
		mode  fs.FileMode
		right fs.FileMode
		want  string
	}{
		{app, gid, 0o660, toWrite, "group 54321 may (mode 0660): `sudo usermod -aG 54321 app`, then log in again"},
		{app, gid, 0o640, toRead, "`sudo usermod -aG 54321 app`"},
		{member, gid, 0o660, toWrite, "app is in it, but was not when this session began: log in again"},
		{nameless, gid, 0o660, toWrite, "as one of its members"},
		{inside, gid, 0o660, toWrite, "something else forbids it"},
		{app, 0, 0o660, toWrite, "only root may (mode 0660)"},
		{app, gid, 0o600, toWrite, "only root may (mode 0600); run this as that user or with sudo, or let a group in: control.group"},
		{app, gid, 0o600, toRead, "only root may (mode 0600); run this as that user or with sudo"},
	} {
		got := c.who.admitted(0, c.gid, c.mode, c.right)
		if !strings.Contains(got, c.want) || c.gid == 0 && strings.Contains(got, "usermod") {
			t.Errorf("%+v %04o: %s", c.who, c.mode, got)
		}
	}
}
