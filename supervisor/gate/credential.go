package gate

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Credential is what a process with the user and group of its definition,
// names or decimal ids, is executed with; nil leaves the daemon's own. Without
// a group it is the user's primary one; the user's other groups are added.
func Credential(userName, groupName string) (*syscall.Credential, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	c := &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	if userName != "" {
		if err := setUser(c, userName, groupName); err != nil {
			return nil, err
		}
	}
	if groupName != "" {
		gid, err := groupID(groupName)
		if err != nil {
			return nil, err
		}
		c.Gid = gid
	}
	if os.Geteuid() == 0 {
		return c, nil
	}
	return nil, ownCredential(c, userName, groupName)
}

// setUser fills in the ids of a user. A user without an entry has only the
// group that is given.
func setUser(c *syscall.Credential, name, groupName string) error {
	u, err := lookupUser(name)
	if err != nil {
		uid, numeric := parseID(name)
		if !numeric {
			return fmt.Errorf("user %s does not exist", name)
		}
		if groupName == "" {
			return fmt.Errorf("user %s has no entry, so its group is not known: set group", name)
		}
		c.Uid = uid
		return nil
	}
	uid, ok := parseID(u.Uid)
	gid, ok2 := parseID(u.Gid)
	if !ok || !ok2 {
		return fmt.Errorf("user %s has an unusable entry (uid %s, gid %s)", name, u.Uid, u.Gid)
	}
	c.Uid, c.Gid = uid, gid
	c.Groups, err = otherGroups(u)
	return err
}

// otherGroups are the supplementary groups of a user.
func otherGroups(u *user.User) ([]uint32, error) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	var groups []uint32
	for _, id := range ids {
		if gid, ok := parseID(id); ok && id != u.Gid {
			groups = append(groups, gid)
		}
	}
	return groups, nil
}

func lookupUser(name string) (*user.User, error) {
	if _, numeric := parseID(name); numeric {
		return user.LookupId(name)
	}
	return user.Lookup(name)
}

func groupID(name string) (uint32, error) {
	if gid, numeric := parseID(name); numeric {
		return gid, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %s does not exist", name)
	}
	gid, ok := parseID(g.Gid)
	if !ok {
		return 0, fmt.Errorf("group %s has an unusable entry (gid %s)", name, g.Gid)
	}
	return gid, nil
}

// ownCredential makes sure that a daemon that is not root is asked for nothing
// but what it is.
func ownCredential(c *syscall.Credential, userName, groupName string) error {
	if int(c.Uid) != os.Geteuid() {
		return fmt.Errorf("run as user %s: not permitted to a daemon with uid %d; start it as root or as that user", userName, os.Geteuid())
	}
	if groupName != "" && int(c.Gid) != os.Getegid() {
		return fmt.Errorf("run as group %s: not permitted to a daemon with uid %d; start it as root or with that group", groupName, os.Geteuid())
	}
	return nil
}

// parseID reads a decimal id; the highest one means "none" to the kernel.
func parseID(s string) (uint32, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err == nil && id < 1<<32-1
}
