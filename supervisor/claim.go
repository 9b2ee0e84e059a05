package supervisor

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"rollbridge/socket/control"
)

// A Claim says which instance an application belongs to: what runs is named after
// the application, so that two instances of one would take each other's processes
// for strangers. It outlives daemons: that of an instance is not kept from coming
// back by another one that was added while it was away.
type Claim struct {
	Dir         string // where all instances keep their states
	Application string
	File        string // the configuration of the instance
	// Holds reports whether the application still is that of another instance,
	// which has claimed it before.
	Holds func(file string) bool
}

// Take makes the application that of the instance, or says whose it is.
func (c Claim) Take() error {
	path := filepath.Join(c.Dir, ".applications", c.Application)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return c.failed(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return c.failed(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil { // for as long as this takes
		return c.failed(err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return c.failed(err)
	}
	switch owner := strings.TrimSpace(string(text)); {
	case owner == c.File:
		return nil
	case owner != "" && c.Holds(owner):
		return &control.Error{
			Code:    "other-instance",
			Message: fmt.Sprintf("application %q is that of %s", c.Application, owner),
			Hint:    "give each instance its own `application`, or take one of them away: stop its daemon, and move its file",
		}
	}
	if err := f.Truncate(0); err != nil {
		return c.failed(err)
	}
	if _, err := f.WriteAt([]byte(c.File+"\n"), 0); err != nil {
		return c.failed(err)
	}
	return nil
}

func (c Claim) failed(err error) error {
	return fmt.Errorf("claim application %q: %w", c.Application, err)
}
