package systemdtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// passedFlags leaves away the flags that name files outside.
func passedFlags(args []string) []string {
	var passed []string
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch name {
		case "test.testlogfile", "test.outputdir", "test.gocoverdir", "test.coverprofile", "test.fuzzcachedir",
			"test.cpuprofile", "test.memprofile", "test.blockprofile", "test.mutexprofile", "test.trace":
		default:
			passed = append(passed, arg)
		}
	}
	return passed
}

func passedEnvironment() []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(name, "ROLLBRIDGE_"), name == "CI", name == "GODEBUG", name == "GORACE", name == "GOTRACEBACK":
			env = append(env, pair)
		}
	}
	return env
}

// findModule is the directory of go.mod, and the working directory below it.
func findModule() (module, dir string, err error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	for module = wd; ; module = filepath.Dir(module) {
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			dir, err = filepath.Rel(module, wd)
			return module, dir, err
		}
		if module == "/" {
			return "", "", fmt.Errorf("run tests inside: no go.mod above %s", wd)
		}
	}
}
