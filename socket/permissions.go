package socket

import (
	"fmt"
	"io/fs"
	"math"
	"os/user"
	"strconv"
)

// defaultMode lets only the daemon's own user connect.
const defaultMode fs.FileMode = 0o600

// keep leaves an owner or a group as it is, as chown(2) has it.
const keep = -1

// Permissions say who may connect to a Unix socket.
type Permissions struct {
	Mode  fs.FileMode // permission bits; 0 is 0600
	Owner string      // user name or id; empty is the daemon's
	Group string      // group name or id; empty is the daemon's
}

func (p Permissions) mode() uint32 {
	if p.Mode == 0 {
		return uint32(defaultMode)
	}
	return uint32(p.Mode.Perm())
}

// ids returns the user and group id to set, each of them keep when not given.
func (p Permissions) ids() (uid, gid int, err error) {
	if uid, err = resolve(p.Owner, "user", userID); err != nil {
		return 0, 0, err
	}
	if gid, err = resolve(p.Group, "group", groupID); err != nil {
		return 0, 0, err
	}
	return uid, gid, nil
}

func resolve(name, kind string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return keep, nil
	}
	id, ok := parseID(name)
	if ok {
		return id, nil
	}
	found, err := lookup(name)
	if id, ok = parseID(found); err != nil || !ok {
		return 0, &Error{
			Message: fmt.Sprintf("Unknown %s %q.", kind, name),
			Hint:    fmt.Sprintf("use a numeric id or a %s of this machine (getent %s)", kind, databases[kind]),
			Err:     err,
		}
	}
	return id, nil
}

var databases = map[string]string{"user": "passwd", "group": "group"}

// parseID reads digits; the highest number is chown's "leave as it is", no id.
func parseID(s string) (int, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return int(id), err == nil && id != math.MaxUint32
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}
