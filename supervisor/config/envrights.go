package config

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// asUser runs read with the rights of a process's user when those are not the
// caller's own. It takes a thread of its own that ends with it, so that nothing
// else ever runs with the rights of that thread.
func asUser(c *syscall.Credential, read func() (string, error)) (text string, err error) {
	if c == nil || int(c.Uid) == os.Geteuid() {
		return read()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err = takeRights(c); err == nil {
			text, err = read()
		}
	}()
	<-done
	return text, err
}

// takeRights gives the calling thread the rights of a user in the file system.
// Without user id 0 there, it has no power over other users' files either
// (capabilities(7), "Effect of user ID changes on capabilities").
func takeRights(c *syscall.Credential) error {
	groups := make([]int, len(c.Groups))
	for i, g := range c.Groups {
		groups[i] = int(g)
	}
	if err := unix.Setgroups(groups); err != nil { // of this thread, unlike syscall.Setgroups
		return fmt.Errorf("cannot be read with the groups of its process: %w", err)
	}
	_ = unix.Setfsgid(int(c.Gid)) // its answer is the id before, never an error
	_ = unix.Setfsuid(int(c.Uid))
	gid, _ := unix.SetfsgidRetGid(-1)
	uid, _ := unix.SetfsuidRetUid(-1)
	if gid != int(c.Gid) || uid != int(c.Uid) {
		return fmt.Errorf("cannot be read with the rights of its process: %w", unix.EPERM)
	}
	return nil
}
