package main

import "cmp"

// kind is the runner that is asked for, by option or else by environment; "" is
// nobody's wish. --user asks for systemd: it says whose.
func (o daemonOptions) kind(e *env, uid int) (string, error) {
	kind := cmp.Or(o.runner, e.Getenv("ROLLBRIDGE_RUNNER"))
	switch {
	case !o.user:
		return kind, nil
	case uid == 0:
		return "", usageFault("--user is for a daemon that is not root", "leave it out: the daemon of root uses the systemd of the host")
	case kind == "direct":
		return "", usageFault("--user and the direct runner exclude each other", "--user says whose systemd keeps the processes running; leave one of them out")
	case kind == "" || kind == "auto":
		return "systemd", nil
	}
	return kind, nil
}
