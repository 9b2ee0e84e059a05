package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxEnvFile bounds an environment file, in bytes; a command with its
// environment may have about as much.
const maxEnvFile = 1 << 20

// EnvFile is a file with environment variables. It is read at each start, so
// that a changed secret is used from the next one on, and kept nowhere.
type EnvFile struct {
	Path     string // in a Spec absolute
	Optional bool   // it may be missing

	// AsUser means that whoever may deploy decides what the path leads to, since
	// it depends on the directory of the release. It is read with the rights of
	// the process's user: the daemon would read everything.
	AsUser bool
}

// settings reads the file, for a process with these rights, into settings
// NAME=value. The error names file and line, never what is in them.
func (f EnvFile) settings(as *syscall.Credential) ([]string, error) {
	if !f.AsUser {
		as = nil
	}
	text, err := asUser(as, func() (string, error) { return readEnvFile(f.Path) })
	switch {
	case err == nil:
	case f.Optional && isMissing(err):
		return nil, nil
	default:
		return nil, fmt.Errorf("environment file %s %s", f.Path, f.explain(as, err))
	}
	settings, err := parseEnvFile(text)
	if err != nil {
		return nil, fmt.Errorf("environment file %s: %w", f.Path, err)
	}
	return settings, nil
}

// isMissing reports that there is no such file, as when a directory of the path
// is a file.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

var (
	errNoFile  = errors.New("is not a regular file")
	errTooLong = fmt.Errorf("is larger than %d bytes", maxEnvFile)
)

// explain puts the reason why the file was not read into words.
func (f EnvFile) explain(as *syscall.Credential, err error) string {
	var cause *fs.PathError
	switch {
	case isMissing(err):
		return "does not exist; write -" + f.Path + " if it may be missing"
	case as != nil && errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("may not be read by the process's user (uid %d), with whose rights files of a release are read", as.Uid)
	case errors.As(err, &cause):
		return "cannot be read: " + cause.Err.Error()
	}
	return err.Error()
}

// readEnvFile reads a regular file of a bounded size. It does not wait for the
// writer of a pipe.
func readEnvFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errNoFile
	}
	text, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err == nil && len(text) > maxEnvFile {
		err = errTooLong
	}
	return string(text), err
}
