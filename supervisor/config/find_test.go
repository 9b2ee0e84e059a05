package config

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Checks 3, 4 and 5, for the names of today.
func TestFindTakesTheFirstName(t *testing.T) {
	dir, own, system := t.TempDir(), t.TempDir(), t.TempDir()
	_, err := find(dir, own, system)
	if want := "No config file found in " + dir + ". Pass --config <path> or add one of: rollbridge.yaml, rollbridge.yml, rollbridge.json."; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	js := write(t, filepath.Join(dir, "rollbridge.js"), "")
	if _, err := find(dir, own, system); err == nil || !strings.Contains(err.Error(), "node -e") || !strings.Contains(err.Error(), js) {
		t.Errorf("got %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "rollbridge.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(system, "rollbridge.yaml"), filepath.Join(own, "rollbridge.yaml"), filepath.Join(dir, "rollbridge.json"), filepath.Join(dir, "rollbridge.yml")} {
		write(t, path, "{}")
		if got, err := find(dir, own, system); err != nil || got != path {
			t.Errorf("got %q, %v; want %q", got, err, path)
		}
	}
}

// Else the user would hear that there is no configuration at all.
func TestFindTakesADefaultInstanceThatIsNoFile(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"is a directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"does not exist": func(path string) error { return os.Symlink("nowhere", path) },
	} {
		path := filepath.Join(t.TempDir(), "rollbridge.yaml")
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		got, err := find(t.TempDir(), filepath.Dir(path))
		if err != nil || got != path {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := Load(got); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want %q", err, name)
		}
	}
}

func TestLoadExplainsWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	big := write(t, filepath.Join(dir, "big.yaml"), strings.Repeat("#", maxFileSize+1))
	loop := filepath.Join(dir, "loop.yaml")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "none.yaml does not exist. Pass --config",
		dir:                             "is a directory. Pass --config",
		pipe:                            "is not a regular file.",
		big:                             "is larger than 1048576 bytes.",
		loop:                            "cannot be read: too many levels of symbolic links.",
	} {
		_, err := Load(path)
		var load *LoadError
		if !errors.As(err, &load) || !strings.Contains(err.Error(), want) || load.Fix == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestLoadReturnsProblemsOrAConfig(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(write(t, filepath.Join(dir, "bad.yaml"), "{}"))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("got %v", err)
	}
	good := write(t, filepath.Join(dir, "good.yaml"), "application: a\nproxy: {}\nprocesses: [{id: web, policy: proxied, command: x, port: 0, user: \""+strconv.Itoa(os.Geteuid())+"\"}]\n")
	t.Chdir(dir)
	c, err := Load("good.yaml")
	if err != nil || c.File != good {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestMigrationPageHasTheConversion(t *testing.T) {
	page, err := os.ReadFile("../../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	if line := "\nnode -e '" + convert + "' rollbridge.js > rollbridge.json\n"; !strings.Contains(string(page), line) {
		t.Errorf("docs/migrate.md lacks the line%s", line)
	}
}

// The conversion is run as it is printed, for both module systems.
func TestJavaScriptIsConvertedByThePrintedCommand(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node here")
	}
	const object = `{application: "shop", control: {mode: 0o660}, proxy: {port: 8182}, processes: [{id: "web", policy: "proxied", command: "./web", port: 0}]}`
	for name, src := range map[string]string{
		"a b.cjs":       "module.exports = " + object,
		"function.cjs":  "module.exports = async () => (" + object + ")",
		"object.mjs":    "export default " + object,
		"it's.mjs":      "export default async function () { return " + object + " }",
		"transpiled.js": "Object.defineProperty(exports, '__esModule', {value: true}); exports.default = () => (" + object + ")",
	} {
		path := write(t, filepath.Join(t.TempDir(), name), src)
		_, err := Load(path)
		if err == nil {
			t.Fatal("JavaScript was read")
		}
		_, command, _ := strings.Cut(err.Error(), "Convert it once: ")
		if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		file := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
		converted, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, problems := Parse(file, converted, testOptions)
		if len(problems) > 0 || *c.Control.Mode != 0o660 || c.Application != "shop" {
			t.Errorf("%s: %v\n%s", name, problems, converted)
		}
	}
}
