package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// fileNames are the configurations that Find looks for in a directory, in order.
var fileNames = []string{"rollbridge.yaml", "rollbridge.yml", "rollbridge.json"}

// maxFile bounds the size of a configuration file.
const maxFile = 1 << 20

// Find returns the configuration to use when none is named: one in dir, else the
// host's default instance.
func Find(dir string) (string, error) {
	for _, name := range fileNames {
		if path := filepath.Join(dir, name); isFile(path) {
			return path, nil
		}
	}
	if path := filepath.Join(systemDir, fileNames[0]); isFile(path) {
		return path, nil
	}
	text := fmt.Sprintf("No config file found in %s. Pass --config <path> or add one of: %s.", dir, strings.Join(fileNames, ", "))
	if isFile(filepath.Join(dir, "rollbridge.js")) {
		text += " " + convertHint("rollbridge.js")
	}
	return "", errors.New(text)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Load reads a configuration file. The error is Problems when the file can be
// read but not used.
func Load(path string) (*Config, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if slices.Contains([]string{".js", ".mjs", ".cjs", ".ts"}, filepath.Ext(path)) {
		return nil, errors.New("a configuration is data, not JavaScript: " + convertHint(path))
	}
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	cfg, problems := Parse(path, src, DefaultOptions())
	if len(problems) > 0 {
		return nil, problems
	}
	return cfg, nil
}

// convertHint is how to make data of a JavaScript configuration: of a default
// export, an object or a function, in either module system.
func convertHint(path string) string {
	return fmt.Sprintf(`Convert it once, in its directory: `+
		`node -e 'import(process.argv[1]).then(async m => { let c = m.default; if (typeof c === "function") c = await c(); console.log(JSON.stringify(c, null, 2)) })' "$PWD/%s" > rollbridge.json`,
		filepath.Base(path))
}

// readFile reads a regular file of a sensible size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ENOENT: no such file or directory, open '%s'", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a directory; name the configuration file in it", path)
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(src) > maxFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB; is it a configuration?", path)
	}
	return src, nil
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// ValidID reports whether s can be a release id or a revision.
func ValidID(s string) bool { return idPattern.MatchString(s) }

// Process is the entry of that id, or nil.
func (c *Config) Process(id string) *Process {
	for i := range c.Processes {
		if c.Processes[i].ID == id {
			return &c.Processes[i]
		}
	}
	return nil
}

// LiveChanges names what differs in next that a running daemon cannot take over.
func (c *Config) LiveChanges(next *Config) []string {
	var changed []string
	note := func(name string, same bool) {
		if !same {
			changed = append(changed, name)
		}
	}
	note("application", c.Application == next.Application)
	note("control", c.Control.equal(next.Control))
	note("statePath", c.StatePath == next.StatePath)
	note("proxy.host", c.Proxy.Host == next.Proxy.Host)
	note("proxy.port", c.Proxy.Port == next.Proxy.Port)
	note("proxy.upstreamHost", c.Proxy.UpstreamHost == next.Proxy.UpstreamHost)
	note("processes", sameProcesses(c, next))
	return changed
}

func (c Control) equal(d Control) bool {
	sameMode := c.Mode == d.Mode || c.Mode != nil && d.Mode != nil && *c.Mode == *d.Mode
	return sameMode && c.Path == d.Path && c.Owner == d.Owner && c.Group == d.Group
}

// sameProcesses reports whether both have the same processes as far as they
// cannot change live; their order may differ.
func sameProcesses(a, b *Config) bool {
	if len(a.Processes) != len(b.Processes) {
		return false
	}
	for i := range a.Processes {
		p := &a.Processes[i]
		q := b.Process(p.ID)
		if q == nil || p.Policy != q.Policy || p.DeployStrategy != q.DeployStrategy || p.Replicas != q.Replicas || !samePort(p.Port, q.Port) {
			return false
		}
	}
	return true
}

func samePort(a, b *PortRange) bool { return a == b || a != nil && b != nil && *a == *b }
