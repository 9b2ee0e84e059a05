package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFilesOfTheDaemonAreItsOwn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deep", "er", "daemon.log")
	f, err := ownFile(path, os.O_APPEND|os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestPlantedFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	for what, plant := range map[string]func(path string) error{
		"symbolic link":     func(path string) error { return os.Symlink(victim, path) },
		"no regular file":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"written by others": func(path string) error { return open(path, 0o622) },
		"another name":      func(path string) error { return hardLink(victim, path) },
	} {
		path := filepath.Join(dir, strings.ReplaceAll(what, " ", "-"))
		if err := plant(path); err != nil {
			t.Fatal(err)
		}
		f, err := ownFile(path, os.O_RDWR)
		if err == nil {
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func open(path string, mode os.FileMode) error {
	if err := os.WriteFile(path, nil, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask is
}

func hardLink(victim, path string) error {
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		return err
	}
	return os.Link(victim, path)
}

func TestOneLaunchAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.pid")
	first, err := lockedFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := lockedFile(ctx, path); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("a second one: %v", err)
	}

	second := make(chan *os.File)
	go func() {
		f, err := lockedFile(t.Context(), path)
		if err != nil {
			t.Error(err)
		}
		second <- f
	}()
	os.Remove(path) // the first one failed
	first.Close()
	f := <-second
	defer f.Close()
	if !sameFile(f, path) {
		t.Error("the second launch holds a file that is gone")
	}
}

func TestReadyPipeTellsReadinessAndDeath(t *testing.T) {
	for text, want := range map[string]error{readyWord: nil, "": errDied, "rea": errDied} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.WriteString(text)
		w.Close()
		if got := awaitReady(t.Context(), r); got != want {
			t.Errorf("%q: %v", text, got)
		}
		r.Close()
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := awaitReady(ctx, r); err == nil || err == errDied {
		t.Errorf("silence: %v", err)
	}
}
