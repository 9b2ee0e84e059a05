package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// envFiles reads a path or a list of paths, each with a - in front when the file
// may be missing.
func (v value) envFiles() []EnvFile {
	if !v.given() {
		return nil
	}
	items := []value{v}
	if v.isList() {
		items, _ = v.items("")
	}
	var files []EnvFile
	for _, item := range items {
		if f, ok := item.envFile(); ok {
			files = append(files, f)
		}
	}
	return files
}

func (v value) envFile() (EnvFile, bool) {
	const fix = "a path or a list of paths, for example `envFile: /etc/shop/secrets.env`; a - in front means that the file may be missing"
	text, ok := v.asText()
	path, optional := strings.CutPrefix(text, "-")
	switch {
	case !ok:
		v.wrong("must be a path or a list of paths", "set "+v.path+" to "+fix)
	case strings.TrimSpace(path) == "":
		v.wrong("must not be empty", "set "+v.path+" to "+fix)
	case strings.ContainsAny(path, "*?["):
		v.wrong("must name one file: wildcards are not looked for", "list the files one by one: `envFile: [/etc/shop/a.env, /etc/shop/b.env]`")
	case strings.ContainsRune(path, 0):
		v.wrong("must not contain a NUL character", "remove \\0 from "+v.path)
	default:
		v.r.expect(v, path, optional)
		return EnvFile{Path: path, Optional: optional}, true
	}
	return EnvFile{}, false
}

// expectation is a file that has to be there when a process is started.
type expectation struct {
	path string
	at   Problem // without message and fix
}

// expect notes a file for Config.Warnings, if its path is known without a
// release.
func (r *reader) expect(v value, path string, optional bool) {
	common := v.path == "envFile" || strings.HasPrefix(v.path, "envFile[")
	if optional || placeholder.MatchString(path) || !common && !filepath.IsAbs(path) {
		return
	}
	r.expected = append(r.expected, expectation{besides(absolute(r.file), path), r.place(v.at, v.path)})
}

// Warnings looks for what is no mistake in the file, but will fail a deploy
// unless it changes before: environment files that do not exist. One that the
// caller may not see is not among them.
func (c *Config) Warnings() Problems {
	var warnings Problems
	for _, e := range c.expected {
		if _, err := os.Stat(e.path); errors.Is(err, fs.ErrNotExist) {
			w := e.at
			w.Message = fmt.Sprintf("Environment file %s does not exist", clip(e.path, 800))
			w.Fix = "create it before the next deploy, or put a - in front of the path if it may be missing"
			warnings = append(warnings, w)
		}
	}
	warnings.sort()
	return warnings
}
