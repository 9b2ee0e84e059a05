package config

import (
	"fmt"
	"os/user"
	"strconv"
)

// maxID is the largest user or group id; the one above means "none".
const maxID = 1<<32 - 2

// account is a user or a group as the host knows it.
type account struct {
	id    int
	known bool
}

// user reads the user of a process.
func (v value) user() string {
	name := v.principal()
	a := v.knownUser(name)
	if name != "" && a.known && v.r.opt.UID != 0 && a.id != v.r.opt.UID {
		v.wrong("must be the daemon's own user, since the daemon is not root",
			fmt.Sprintf("remove %s: everything runs as that user (uid %d); for another user the daemon has to be root", v.path, v.r.opt.UID))
	}
	return name
}

// group reads the group of a process.
func (v value) group() string {
	name := v.principal()
	a := v.knownGroup(name)
	if name != "" && a.known && v.r.opt.UID != 0 && a.id != v.r.opt.GID {
		v.wrong("must be the daemon's own group, since the daemon is not root",
			fmt.Sprintf("remove %s: everything runs with that group (gid %d); for another group the daemon has to be root", v.path, v.r.opt.GID))
	}
	return name
}

func (v value) knownUser(name string) account {
	a := v.r.account("user "+name, name, v.r.opt.lookupUser)
	if !a.known {
		v.complain(fmt.Sprintf("Unknown user %q", name),
			fmt.Sprintf("set %s to an existing user or a numeric id, or create the user: `useradd --system %s`", v.path, name))
	}
	return a
}

func (v value) knownGroup(name string) account {
	a := v.r.account("group "+name, name, v.r.opt.lookupGroup)
	if !a.known {
		v.complain(fmt.Sprintf("Unknown group %q", name),
			fmt.Sprintf("set %s to an existing group or a numeric id, or create the group: `groupadd --system %s`", v.path, name))
	}
	return a
}

// account finds a user or group, once per file. "" and numbers need no entry.
func (r *reader) account(key, name string, lookup func(string) (int, error)) account {
	if name == "" {
		return account{known: true}
	}
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return account{int(id), true}
	}
	if a, seen := r.accounts[key]; seen {
		return a
	}
	id, err := lookup(name)
	a := account{id, err == nil}
	r.accounts[key] = a
	return a
}

func (o Options) lookupUser(name string) (int, error) {
	if o.LookupUser != nil {
		return o.LookupUser(name)
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

func (o Options) lookupGroup(name string) (int, error) {
	if o.LookupGroup != nil {
		return o.LookupGroup(name)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
