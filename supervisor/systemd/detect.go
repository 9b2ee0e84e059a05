package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Oldest is the oldest major version of systemd that will do.
const Oldest = 252

// Unusable is why systemd cannot be used here.
type Unusable struct {
	Err  error
	Hint string // how to mend that; "" when only doing without it is left
}

func (u *Unusable) Error() string { return u.Err.Error() }
func (u *Unusable) Unwrap() error { return u.Err }

// Detect reports whether systemd can be used here: nil, or a *Unusable.
func Detect(ctx context.Context, opt Options) error {
	if !Booted() {
		return &Unusable{Err: errors.New("systemd does not run this machine: there is no /run/systemd/system")}
	}
	if !opt.User && os.Geteuid() != 0 {
		return &Unusable{errors.New("only root can have the system's systemd run processes"), "run the daemon as root, or let your own systemd run them: --user"}
	}
	b, err := Dial(ctx, Options{User: opt.User})
	if err != nil {
		return &Unusable{fmt.Errorf("systemd cannot be reached: %w", err), mend(opt.User)}
	}
	defer b.Close()
	if v := b.Version(); v < Oldest {
		return &Unusable{Err: fmt.Errorf("systemd is of version %d, and %d is the oldest that will do", v, Oldest)}
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
