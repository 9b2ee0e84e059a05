package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"rollbridge/supervisor"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version string

// programVersion is the version of the running program.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// thisRuntime describes the running program, so that a daemon and a command
// can tell whether they are the same.
func thisRuntime() (supervisor.DaemonRuntime, error) {
	path, err := os.Executable()
	if err != nil {
		return supervisor.DaemonRuntime{}, err
	}
	digest, err := digestOf("/proc/self/exe") // right even when the file was replaced
	if err != nil {
		return supervisor.DaemonRuntime{}, err
	}
	return supervisor.DaemonRuntime{Digest: digest, Format: 1, Path: path, Version: programVersion()}, nil
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

func versionCommand() *command {
	var asJSON bool
	return &command{
		name:     "version",
		synopsis: "[options]",
		short:    "Show the version",
		long:     "Shows the version of rollbridge, of Go, and the digest of the program file.",
		example:  "rollbridge version --json",
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(_ context.Context, e *env, _ []string) error {
			program, err := thisRuntime()
			if err != nil {
				return err
			}
			if !asJSON {
				_, err = fmt.Fprintf(e.Stdout, "rollbridge %s %s\n%s\n", program.Version, runtime.Version(), program.Digest)
				return err
			}
			text, err := marshal(struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				Digest  string `json:"digest"`
			}{program.Version, runtime.Version(), program.Digest})
			if err != nil {
				return err
			}
			return e.printJSON(text)
		},
	}
}
