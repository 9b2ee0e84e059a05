package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Oldest is the oldest major version of systemd that will do.
const Oldest = 252

// Detect reports whether systemd can be used here: nil, or why it cannot, and
// how to mend that.
func Detect(ctx context.Context, opt Options) error {
	// As sd_booted(3) does it.
	if !exists("/run/systemd/system") {
		return errors.New("systemd does not run this machine (there is no /run/systemd/system): use `runner: direct`")
	}
	if !opt.User && os.Geteuid() != 0 {
		return errors.New("only root can have the system's systemd run processes: run as root, or use the user's own manager (--user)")
	}
	b, err := Dial(ctx, Options{User: opt.User})
	if err != nil {
		return fmt.Errorf("systemd cannot be reached: %w: %s", err, mend(opt.User))
	}
	defer b.Close()
	if v := b.Version(); v < Oldest {
		return fmt.Errorf("systemd is of version %d, and %d is the oldest that will do: use `runner: direct`", v, Oldest)
	}
	return nil
}

func mend(user bool) string {
	if user {
		return fmt.Sprintf("is the user's manager running? `loginctl enable-linger %s` as root keeps it running, the package dbus-user-session gives it a bus", userName())
	}
	return "is dbus.service running? `systemctl start dbus.service` starts it"
}

// userName is how loginctl can be told who we are; it takes a number too.
func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return fmt.Sprint(os.Getuid())
}
