package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxFileSize bounds a configuration file, in bytes.
const maxFileSize = 1 << 20

var fileNames = []string{"rollbridge.yaml", "rollbridge.yml", "rollbridge.json"}

// programs are the extensions of configurations that have to be converted.
var programs = []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}

// LoadError is a configuration file that could not be read at all.
type LoadError struct {
	Message, Fix string // sentences
	Err          error  // the cause, nil when there is none
}

func (e *LoadError) Error() string { return e.Message + " " + e.Fix }
func (e *LoadError) Unwrap() error { return e.Err }

// Find returns the configuration that is used when none is named: the first
// of rollbridge.yaml, .yml and .json in dir, then the default instance of the
// calling user, unless that is root, then that of the host. The error, a
// *LoadError, names what was looked for.
func Find(dir string) (string, error) {
	return find(dir, DefaultOptions().instanceDirs()...)
}

// find looks in dir, then for the default instances in the other directories. One
// that this user is not let near may be there: its daemon knows. What has its name
// and is no file is found, too: to say what is wrong with it.
func find(dir string, instances ...string) (string, error) {
	for _, name := range fileNames {
		if path := filepath.Join(dir, name); isFile(path) {
			return path, nil
		}
	}
	for _, home := range instances {
		if path := filepath.Join(home, fileNames[0]); isEntry(path) || isHidden(path) {
			return path, nil
		}
	}
	if path := filepath.Join(dir, "rollbridge.js"); isFile(path) {
		return "", javaScript(path)
	}
	return "", &LoadError{
		Message: fmt.Sprintf("No config file found in %s.", dir),
		Fix:     "Pass --config <path> or add one of: " + strings.Join(fileNames, ", ") + ".",
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isEntry reports whether something has that name, be it a link to nowhere.
func isEntry(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isHidden reports whether nobody tells this user if there is such a file.
func isHidden(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrPermission)
}

// Load reads the configuration file at path for the calling process. The error
// is Problems when the content is bad, else a *LoadError.
func Load(path string) (*Config, error) {
	if slices.Contains(programs, filepath.Ext(path)) {
		return nil, javaScript(path)
	}
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return LoadSource(path, src)
}

// LoadSource reads a text for the calling process as if it stood in the file at
// path. The error is Problems.
func LoadSource(path string, src []byte) (*Config, error) {
	c, problems := Parse(path, src, DefaultOptions())
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// readFile reads a regular file of a bounded size. It does not wait for the
// writer of a pipe.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, unreadable(path, err)
	case info.IsDir():
		return nil, &LoadError{fmt.Sprintf("Config file %s is a directory.", path),
			"Pass --config <path> with the file in it, for example " + filepath.Join(path, fileNames[0]) + ".", syscall.EISDIR}
	case !info.Mode().IsRegular():
		return nil, &LoadError{fmt.Sprintf("Config file %s is not a regular file.", path),
			"Pass --config <path> with a file: the daemon reads it again before each deploy.", nil}
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case len(src) > maxFileSize:
		return nil, &LoadError{fmt.Sprintf("Config file %s is larger than %d bytes.", path, maxFileSize),
			"Pass --config <path> with a rollbridge configuration.", nil}
	}
	return src, nil
}

func unreadable(path string, err error) error {
	fix := "Pass --config <path> with a file that can be read."
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &LoadError{fmt.Sprintf("Config file %s does not exist.", path), "Pass --config <path> with an existing file.", err}
	case errors.Is(err, fs.ErrPermission):
		fix = "Run the command as a user who may read it, or change its permissions."
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return &LoadError{fmt.Sprintf("Config file %s cannot be read: %v.", path, err), fix, err}
}

// convert prints what a JavaScript configuration exports, an object or a
// function, of either module system. Modes become octal text: JSON has no
// octal numbers, and decimal ones would be read as octal.
const convert = `import(require("url").pathToFileURL(process.argv[1])).then(async m=>{` +
	`let c=m.default;if(c&&c.__esModule)c=c.default;if(typeof c=="function")c=await c();` +
	`if(c.control&&typeof c.control.mode=="number")c.control.mode="0"+c.control.mode.toString(8);` +
	`console.log(JSON.stringify(c,null,2))})`

func javaScript(path string) error {
	json := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
	return &LoadError{
		Message: fmt.Sprintf("Config file %s is a program; rollbridge reads YAML and JSON.", path),
		Fix:     fmt.Sprintf("Convert it once: node -e '%s' %s > %s", convert, quoted(path), quoted(json)),
	}
}

// quoted makes a path one word of a shell command that is no option.
func quoted(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%", r)
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
