package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	mappingNode  = yaml.MappingNode
	sequenceNode = yaml.SequenceNode
)

// firstLine is where the problems of an empty file are.
var firstLine = &yaml.Node{Line: 1, Column: 1}

// systemDir holds the configuration of each application of the host.
const systemDir = "/etc/rollbridge"

// userDir is the same for a user's own applications; "" when it is not known.
func userDir(opt Options) string {
	if opt.Home == "" {
		return ""
	}
	return filepath.Join(opt.Home, ".config/rollbridge")
}

// beside makes a path absolute; a relative one lies beside the file.
func beside(file, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// control reads the block `control`.
func (v value) control(cfg *Config) Control {
	m, _ := v.block("control", "write a mapping: `control: {path: /run/shop/control.sock}`")
	c := Control{
		Path:  beside(cfg.File, m.get("path").words("", "/run/shop/control.sock")),
		Mode:  m.get("mode").mode(),
		Owner: m.get("owner").principal(),
		Group: m.get("group").principal(),
	}
	if c.Path == "" {
		c.Path = defaultControlPath(cfg, v.r.opt)
	}
	return c
}

// defaultControlPath follows from where the configuration lies, never from who
// asks, so that daemon and clients agree; outside the standard places it is in
// a directory of the user's own.
func defaultControlPath(cfg *Config, opt Options) string {
	name := strings.TrimSuffix(filepath.Base(cfg.File), filepath.Ext(cfg.File))
	const socket = "control.sock"
	switch dir := filepath.Dir(cfg.File); {
	case dir == systemDir:
		return filepath.Join("/run/rollbridge", name, socket)
	case dir == userDir(opt) && opt.RuntimeDir != "":
		return filepath.Join(opt.RuntimeDir, "rollbridge", name, socket)
	case opt.RuntimeDir != "":
		return filepath.Join(opt.RuntimeDir, "rollbridge", cfg.Application, socket)
	}
	return filepath.Join("/tmp", "rollbridge-"+strconv.Itoa(opt.UID), cfg.Application, socket)
}

// mode reads a file mode. It is octal however it is written: 0660, 660, "660",
// 0o660.
func (v value) mode() *fs.FileMode {
	if !v.given() {
		return nil
	}
	digits := ""
	if t := v.tag(); t == "!!str" || t == "!!int" {
		digits = strings.TrimPrefix(v.node.Value, "0o")
	}
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || n > 0o777 || len(digits) > 4 {
		v.wrong("must be an octal file mode between 0 and 0o777", v.set("an octal mode", `"660"`))
		return nil
	}
	mode := fs.FileMode(n)
	return &mode
}

// principal reads a name or id of a user or group.
func (v value) principal() string {
	if !v.given() {
		return ""
	}
	if text, ok := v.asText(); ok && text != "" {
		return text
	}
	if f, ok := v.asNumber(); ok && isInteger(f) && inRange(f, 0, 1<<32-2) {
		return strconv.FormatInt(int64(f), 10)
	}
	v.wrong("must be a non-negative integer id or a name", v.set("an id or a name", "deploy"))
	return ""
}

// listen reads the addresses of the proxy. There is one until several can be
// served, and it must then not contradict host and port.
func (m mapping) listen(p *Proxy) {
	v := m.get("listen")
	p.Listen = []string{netJoin(p.Host, p.Port)}
	if !v.given() {
		return
	}
	texts, ok := v.strings(true)
	switch {
	case !ok || len(texts) == 0:
		if ok {
			v.wrong("must name one address", "write one address: `listen: [\"127.0.0.1:8182\"]`")
		}
		return
	case len(texts) > 1:
		v.wrong("can hold only one address in this version", "keep one address: `listen: [\""+texts[0]+"\"]`")
		return
	case strings.HasPrefix(texts[0], "unix:"):
		v.wrong("cannot hold a unix: address in this version", "write a TCP address: `listen: [\"127.0.0.1:8182\"]`")
		return
	case m.get("host").given() || m.get("port").given():
		v.wrong("replaces proxy.host and proxy.port, which are given too", "remove listen, or host and port")
		return
	}
	addr, err := netip.ParseAddrPort(texts[0])
	if err != nil {
		v.wrong("must be an address with a port", "write it as `listen: [\"127.0.0.1:8182\"]` or `[\"[::1]:8182\"]`")
		return
	}
	p.Host, p.Port = addr.Addr().String(), int(addr.Port())
	p.Listen = []string{addr.String()}
}

func netJoin(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// prefixes reads whose X-Forwarded-* headers are kept. Peers on unix sockets
// always are.
func (v value) prefixes() []netip.Prefix {
	if !v.given() {
		return loopback
	}
	texts, _ := v.strings(true)
	trusted := []netip.Prefix{}
	for _, text := range texts {
		switch text {
		case "loopback":
			trusted = append(trusted, loopback...)
			continue
		case "unix":
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			v.complain(fmt.Sprintf("%s: %q is no address and no network", v.path, text), "write addresses or networks: `trustedProxies: [10.0.0.5, 192.168.0.0/16, loopback]`")
			continue
		}
		trusted = append(trusted, prefix)
	}
	return trusted
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

// account is what is known of a user or group name.
type account struct {
	id    string
	known bool
}

// account reads `user` and `group`.
func (m mapping) account() (user, group string) {
	u, g := m.get("user"), m.get("group")
	user, group = u.principal(), g.principal()
	if user != "" {
		u.checkUser(user)
	}
	if group != "" {
		g.checkGroup(group)
	}
	return user, group
}

func (v value) checkUser(name string) {
	found := v.r.lookup("user "+name, func() (string, error) { return userID(name) })
	switch {
	case !found.known:
		v.complain(fmt.Sprintf("%s: there is no user %q", v.path, name), "create it (`adduser --system "+clip(name, 40)+"`), or name one that exists; ids work too")
	case v.r.opt.UID != 0 && found.id != strconv.Itoa(v.r.opt.UID):
		v.complain(fmt.Sprintf("%s: only root can run processes as %q", v.path, name), "remove it: a daemon that is not root runs everything as its own user")
	}
}

func (v value) checkGroup(name string) {
	found := v.r.lookup("group "+name, func() (string, error) { return groupID(name) })
	if !found.known {
		v.complain(fmt.Sprintf("%s: there is no group %q", v.path, name), "create it (`addgroup --system "+clip(name, 40)+"`), or name one that exists; ids work too")
	}
}

// lookup asks for each account once.
func (r *reader) lookup(key string, ask func() (string, error)) account {
	if found, ok := r.accounts[key]; ok {
		return found
	}
	id, err := ask()
	found := account{id, err == nil}
	r.accounts[key] = found
	return found
}

func userID(name string) (string, error) {
	if isID(name) {
		return name, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	if isID(name) {
		return name, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

func isID(name string) bool {
	_, err := strconv.ParseUint(name, 10, 32)
	return err == nil
}

// requireUser makes sure that a daemon that is root is told whom its processes
// are to run as.
func (m mapping) requireUser(cfg *Config) {
	if m.r.opt.UID != 0 || cfg.User != "" || m.get("user").given() {
		return
	}
	for i := range cfg.Processes {
		if cfg.Processes[i].User == "" {
			m.get("user").wrong("is required, since the daemon runs as root", "add `user: app`, the user to run the processes as; if it really has to be root, write `user: root`")
			return
		}
	}
}
