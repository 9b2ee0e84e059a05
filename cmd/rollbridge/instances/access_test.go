package instances

import (
	"os"
	"strings"
	"testing"

	"rollbridge/unitgen"
)

func TestAMemberOfTheGroupNeedsNoMoreThanTheSocket(t *testing.T) {
	in := newInstance(t, "group").open()
	if err := os.Chmod(in.config(), 0o600); err != nil { // not even the group may read it
		t.Fatal(err)
	}
	in.deploy(member(), "v1").says(t, 0, `"activeReleaseId": "v1"`)
	if got := in.get("/"); got != "v1" {
		t.Errorf("the proxy answers %q", got)
	}
	in.run(member(), "status").says(t, 0, `"application": "group"`)
	in.run(member(), "logs").says(t, 0, "== web [release v1 (active)] ==")
	in.run(member(), "events").says(t, 0, "traffic switched")
	in.run(member(), "ensure-daemon").says(t, 0)
	for _, command := range []string{"validate", "units"} {
		in.run(member(), command).says(t, 1, "only root may (mode 0600)")
	}

	in.write(in.config(), "proxi: {}\n", 0o600)
	in.run(member(), "status").says(t, 0, `"v1"`)
	in.deploy(member(), "v2").says(t, 1, "Invalid Rollbridge config")
	in.run(root(), "status").says(t, 0, `"v1"`)
	in.run(root(), "validate").says(t, 1, "proxi")
	in.run(member(), "rollback").says(t, 1)
	in.configure("")
	in.deploy(member(), "v2").says(t, 0)
	if err := os.Remove(in.config()); err != nil {
		t.Fatal(err)
	}
	in.run(member(), "status").says(t, 0, `"v2"`)
	in.run(root(), "shutdown").says(t, 0)
	in.stop()
	in.run(root(), "status").says(t, 1, `There is no instance "group"`)
}

func TestOthersAreToldHowToGetIn(t *testing.T) {
	in := newInstance(t, "closed").open()
	for range 2 { // asleep, and running
		r := in.deploy(other(), "v1")
		r.says(t, 1, "uid 1000 (app) may not use "+in.control(),
			"group rollbridge may (mode 0660): `sudo usermod -aG rollbridge app`, then log in again")
		if strings.Contains(r.stderr, "EACCES") {
			t.Errorf("%s", r.stderr)
		}
		in.deploy(root(), "v1").says(t, 0)
	}
	in.run(other(), "validate").says(t, 1, "group rollbridge may (mode 0640)")

	root().types(t, "usermod", "-aG", groupName, "app").says(t, 0)
	t.Cleanup(func() { root().types(t, "gpasswd", "-d", "app", groupName).says(t, 0) })
	in.run(other(), "status").says(t, 1, "app is in it, but was not when this session began: log in again")
	in.run(member(), "status").says(t, 0)
}

func TestTheDefaultInstanceNeedsNoName(t *testing.T) {
	in := newInstance(t, unitgen.DefaultInstance).open()
	if err := os.Chmod("/etc/rollbridge", 0o700); err != nil { // who is not root cannot even look
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod("/etc/rollbridge", 0o755) })
	member().types(t, program, "status").says(t, 3, "rollbridge.service is inactive")
	member().types(t, program, "deploy", "--release-path", "/tmp", "--release-id", "v1").says(t, 0, `"v1"`)
	member().types(t, program, "status", "-c", "rollbridge").says(t, 0, `"config": "/etc/rollbridge/rollbridge.yaml"`)
	root().types(t, program, "status").says(t, 0, `"v1"`)
	if got := in.get("/"); got != "v1" {
		t.Errorf("the proxy answers %q", got)
	}
	member().types(t, program, "validate").says(t, 1, "its directory is closed to this user")
}
