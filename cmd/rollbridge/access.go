package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// The rights that a user may lack, as others have them.
const (
	toRead  fs.FileMode = 0o4
	toWrite fs.FileMode = 0o2 // a socket: to connect
)

var errBarred = errors.New("may not use")

// barred is the error, wrapping errBarred, of a user who lacks a right on a file.
func barred(path string, right fs.FileMode) error {
	return failure(fmt.Errorf("%s %w %s", whoAmI(), errBarred, path), accessHint(path, right))
}

// accessHint says who has a right on a file, and how this user gets it.
func accessHint(path string, right fs.FileMode) string {
	info, err := os.Stat(path)
	st, ok := fileOwner(info, err)
	if !ok {
		return "its directory is closed to this user; run this as the daemon's user or with sudo"
	}
	return whoAmI().admitted(int(st.Uid), int(st.Gid), info.Mode().Perm(), right)
}

func fileOwner(info fs.FileInfo, err error) (*syscall.Stat_t, bool) {
	if err != nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}

// A person is the user of this process, as it was when its session began, and as
// the host knows it by now.
type person struct {
	uid     int
	name    string // "" when the host has none
	session []int  // groups of this process
	member  []int  // groups by the database
}

func whoAmI() person {
	p := person{uid: os.Geteuid(), session: []int{os.Getegid()}}
	if groups, err := os.Getgroups(); err == nil {
		p.session = append(p.session, groups...)
	}
	u, err := user.LookupId(strconv.Itoa(p.uid))
	if err != nil {
		return p
	}
	p.name = u.Username
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if gid, err := strconv.Atoi(id); err == nil {
			p.member = append(p.member, gid)
		}
	}
	return p
}

func (p person) String() string {
	if p.name == "" {
		return fmt.Sprintf("uid %d", p.uid)
	}
	return fmt.Sprintf("uid %d (%s)", p.uid, p.name)
}

// admitted says who has a right on a file of that owner, group and mode, and how
// the person gets it.
func (p person) admitted(uid, gid int, mode, right fs.FileMode) string {
	group := groupName(gid)
	switch {
	case mode&(right<<3) == 0 && right == toWrite:
		return fmt.Sprintf("only %s may (mode %04o); run this as that user or with sudo, or let a group in: control.group and control.mode", ownerName(uid), mode)
	case mode&(right<<3) == 0 || gid == 0: // nobody joins root's group
		return fmt.Sprintf("only %s may (mode %04o); run this as that user or with sudo", ownerName(uid), mode)
	case slices.Contains(p.session, gid):
		return fmt.Sprintf("group %s may (mode %04o), but something else forbids it; run this with sudo", group, mode)
	case slices.Contains(p.member, gid):
		return fmt.Sprintf("group %s may (mode %04o), and %s is in it, but was not when this session began: log in again", group, mode, p.name)
	case p.name == "":
		return fmt.Sprintf("group %s may (mode %04o); run this as one of its members or with sudo", group, mode)
	}
	return fmt.Sprintf("group %s may (mode %04o): `sudo usermod -aG %s %s`, then log in again; or run this with sudo", group, mode, group, p.name)
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}

func ownerName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", uid)
}
