package systemd

import (
	"strings"
	"testing"
)

const (
	pure = `24 1 0:22 / /proc rw,relatime shared:5 - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
`
	hybrid = `33 24 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
34 33 0:29 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate
35 33 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
`
	part   = `30 24 0:26 /machine/shop /sys/fs/cgroup rw - cgroup2 cgroup2 rw`
	spaces = `30 24 0:26 / /a\040b\134c rw - cgroup2 cgroup2 rw`
	legacy = `35 33 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd`
)

func TestTheDirectoryOfAControlGroup(t *testing.T) {
	for _, test := range []struct{ mountinfo, controlGroup, want string }{
		{pure, "/rollbridge.slice/shop.service", "/sys/fs/cgroup/rollbridge.slice/shop.service"},
		{pure, "/", "/sys/fs/cgroup"},
		{pure, "", ""},
		{hybrid, "/shop.service", "/sys/fs/cgroup/unified/shop.service"},
		{part, "/machine/shop/a.service", "/sys/fs/cgroup/a.service"},
		{part, "/machine/shop", "/sys/fs/cgroup"},
		{part, "/machine/shopping/a.service", "/sys/fs/cgroup/machine/shopping/a.service"},
		{part, "/a.service", "/sys/fs/cgroup/a.service"},
		{spaces, "/a.service", `/a b\c/a.service`},
		{legacy, "/shop.service", ""},
		{"", "/shop.service", ""},
	} {
		if got := findHierarchy(strings.NewReader(test.mountinfo)).path(test.controlGroup); got != test.want {
			t.Errorf("%q is %q, want %q, with\n%s", test.controlGroup, got, test.want, test.mountinfo)
		}
	}
}
