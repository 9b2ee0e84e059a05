package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// systemDir holds the configurations of the host's instances.
const systemDir = "/etc/rollbridge"

// Options are what a configuration's meaning depends on besides its text.
type Options struct {
	UID, GID   int    // of the daemon; UID 0 makes `user` required
	RuntimeDir string // $XDG_RUNTIME_DIR, "" when there is none
	StateHome  string // $XDG_STATE_HOME, "" when there is none
	Home       string // the user's home directory, "" when there is none

	// LookupUser and LookupGroup return the id of a name; nil asks the host.
	LookupUser, LookupGroup func(name string) (int, error)
}

// DefaultOptions are those of the calling process.
func DefaultOptions() Options {
	home, _ := os.UserHomeDir()
	return Options{
		UID: os.Geteuid(), GID: os.Getegid(),
		RuntimeDir: runtimeDir(os.Getenv("XDG_RUNTIME_DIR"), os.Geteuid(), "/run/user"),
		StateHome:  os.Getenv("XDG_STATE_HOME"), Home: home,
	}
}

// runtimeDir is the given runtime directory of a user. Cron and sudo give none
// although systemd has made one: then it is that, so that a command finds the
// daemon from anywhere.
func runtimeDir(given string, uid int, users string) string {
	if given != "" || uid == 0 {
		return given
	}
	var st unix.Stat_t
	dir := filepath.Join(users, strconv.Itoa(uid))
	if err := unix.Lstat(dir, &st); err != nil || int(st.Uid) != uid || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return ""
	}
	return dir
}

// forFile are the options for a configuration: those that the host keeps belong
// to a daemon that is root, whoever reads them.
func (o Options) forFile(file string) Options {
	if filepath.Dir(file) == systemDir {
		o.UID, o.GID = 0, 0
	}
	return o
}

// instance is the name of a configuration in one of the standard directories,
// whose paths follow from that name; "" for any other.
func (o Options) instance(file string) string {
	if dir := filepath.Dir(file); dir == systemDir || dir == o.userDir() {
		return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	return ""
}

func (o Options) userDir() string {
	if !filepath.IsAbs(o.Home) {
		return ""
	}
	return filepath.Join(o.Home, ".config", "rollbridge")
}

// application reads the name, or takes it from where the file lies.
func (m mapping) application(file string) string {
	v := m.get("application")
	name := m.r.opt.instance(file)
	if name == "" {
		name = filepath.Base(filepath.Dir(file))
	}
	name = v.text(name)
	switch {
	case name == "":
		v.wrong("must not be empty", v.set("the name of the application", "shop"))
	case !isApplication(name) && !v.given():
		v.complain("application is required: the directory name "+strconv.Quote(clip(name, 80))+" cannot be used as one", v.set("a name", "shop"))
	case !isApplication(name):
		v.wrong("must be a name without / and control characters, at most 200 bytes", v.set("a short name", "shop"))
	}
	return name
}

// isApplication reports whether a name can be part of paths and unit names.
func isApplication(s string) bool {
	return s != "." && s != ".." && len(s) <= 200 && utf8.ValidString(s) &&
		isPrintable(s) && !strings.Contains(s, "/") && strings.TrimSpace(s) == s
}
