package config

import (
	"bufio"
	"cmp"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Environment is the whole environment of a process, later ones winning: the
// daemon's without what is meant for the daemon alone; HOME, USER, LOGNAME and
// SHELL of the process's user, when that is not the calling process's; what
// every process is told; its environment files, read now; its own settings. It
// reads the host's user database. as is what the process will be executed with,
// nil for the caller's own rights.
//
// The error says in words which file, and which line of it, cannot be used.
func Environment(daemon []string, s Spec, as *syscall.Credential) ([]string, error) {
	var files []string
	for _, f := range s.EnvFiles {
		settings, err := f.settings(as)
		if err != nil {
			return nil, err
		}
		files = append(files, settings...)
	}
	return merged(inherited(daemon), login(s.User), s.Injected, files, s.Env), nil
}

// inherited drops the variables that describe the daemon and not its children.
func inherited(daemon []string) []string {
	var kept []string
	for _, setting := range daemon {
		if name, _, ok := strings.Cut(setting, "="); ok && !isPrivate(name) {
			kept = append(kept, setting)
		}
	}
	return kept
}

// isPrivate reports variables of socket activation, readiness, watchdog, journal
// and memory pressure, with which a child would speak and listen in the daemon's
// name, and our own.
func isPrivate(name string) bool {
	switch name {
	case "", "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "ROLLBRIDGE_RUNNER":
		return true
	}
	return strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "WATCHDOG_") || strings.HasPrefix(name, "MEMORY_PRESSURE_") || strings.HasPrefix(name, "ROLLBRIDGE_DAEMON_")
}

// login are the variables of a user; none for the calling process's own. Of a
// user without an entry only the id is known.
func login(name string) []string {
	if name == "" {
		return nil
	}
	u, err := lookup(name)
	if err != nil {
		u = &user.User{Uid: name, Username: name, HomeDir: "/"}
	}
	if u.Uid == strconv.Itoa(os.Geteuid()) {
		return nil
	}
	return []string{"HOME=" + cmp.Or(u.HomeDir, "/"), "USER=" + u.Username, "LOGNAME=" + u.Username, "SHELL=" + shell(u.Username)}
}

func lookup(name string) (*user.User, error) {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return user.LookupId(name)
	}
	return user.Lookup(name)
}

// shell is the login shell of a user, /bin/sh when it has none to run commands.
func shell(name string) string {
	const fallback = "/bin/sh"
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return fallback
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 7 && fields[0] == name {
			return usableShell(fields[6], fallback)
		}
	}
	return fallback
}

func usableShell(path, fallback string) string {
	switch filepath.Base(path) {
	case "nologin", "false", ".":
		return fallback
	}
	return path
}

// merged joins settings NAME=value; of one name the last one counts.
func merged(lists ...[]string) []string {
	var env []string
	at := map[string]int{}
	for _, list := range lists {
		for _, setting := range list {
			name, _, _ := strings.Cut(setting, "=")
			if i, set := at[name]; set {
				env[i] = setting
				continue
			}
			at[name] = len(env)
			env = append(env, setting)
		}
	}
	return env
}
