package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Dir is the path of a directory of definitions and records. Whoever can write
// there can have commands executed as any user, so it has to belong to the user
// of this process, and to nobody else.
//
// A daemon is the only writer of definitions, of each one at a time; a reader
// sees the old one or the new one whole. Records of one process are written by one process at a time:
// the gate of its unit, or, of a scope, the daemon.
type Dir string

// Write puts a definition in place of the one there was. It makes the
// directory, not its parents.
func (d Dir) Write(def Definition) error {
	if err := d.write(def); err != nil {
		return fmt.Errorf("write the definition of %s: %w", def.Unit, err)
	}
	return nil
}

func (d Dir) write(def Definition) error {
	path, err := d.path(def.ID, definitionExt)
	if err != nil {
		return err
	}
	if err := d.make(); err != nil {
		return err
	}
	text, err := json.Marshal(def)
	if err != nil {
		return err
	}
	return replaceFile(path, text)
}

// Read is the newest definition of a process; fs.ErrNotExist when it has none.
func (d Dir) Read(id string) (Definition, error) {
	path, err := d.path(id, definitionExt)
	if err != nil {
		return Definition{}, err
	}
	if err := d.check(); err != nil {
		return Definition{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Definition{}, fmt.Errorf("definition %s: %w", path, bare(err))
	}
	def, err := decode(id, text)
	if err != nil {
		return Definition{}, fmt.Errorf("definition %s: %w", path, err)
	}
	return def, nil
}

// Remove forgets a process: its definition and its records. One that is not
// there is no error.
func (d Dir) Remove(id string) error {
	var errs []error
	for _, ext := range []string{definitionExt, definitionExt + newExt, logExt, logExt + newExt} {
		path, err := d.path(id, ext)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// List is the ids of all definitions, readable or not. A directory that is not
// there has none.
func (d Dir) List() ([]string, error) {
	if err := d.check(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), definitionExt); ok && validID(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// The files of a process, and the mark of one that is being written.
const (
	definitionExt = ".json"
	logExt        = ".log"
	newExt        = ".new"
)

func (d Dir) path(id, ext string) (string, error) {
	if !validID(id) {
		return "", fmt.Errorf("%q is no id of a process", id)
	}
	return filepath.Join(string(d), id+ext), nil
}

// validID accepts letters and digits, which no unit file and no path changes.
func validID(id string) bool {
	return id != "" && len(id) <= 64 && !slices.ContainsFunc([]byte(id), func(c byte) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

// make makes sure that there is a directory for us alone.
func (d Dir) make() error {
	if err := os.Mkdir(string(d), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", d, bare(err))
	}
	return d.check()
}

// check refuses a directory that anybody else may use.
func (d Dir) check() error {
	info, err := os.Lstat(string(d))
	if err != nil {
		return fmt.Errorf("directory %s: %w", d, bare(err))
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", d)
	case int(owner) != os.Geteuid():
		return fmt.Errorf("directory %s belongs to uid %d, not to uid %d", d, owner, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("directory %s is open to others: chmod 700 %s", d, d)
	}
	return nil
}

// replaceFile writes a file of ours alone in one step.
func replaceFile(path string, text []byte) error {
	next := path + newExt
	if err := os.WriteFile(next, text, 0o600); err != nil {
		os.Remove(next)
		return err
	}
	return os.Rename(next, path)
}

// bare is an error without the path that our own text names already.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
