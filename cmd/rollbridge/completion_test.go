package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// script writes the completion script of a shell that finds instances shop and
// blog, and returns its path.
func script(t *testing.T, shell string) string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		if os.Getenv("CI") != "" && shell != "bash" || shell == "bash" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"shop.yaml", "blog.yaml", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := newTestEnv(t)
	if code := run(e.env, []string{"completion", shell}); code != exitDone {
		t.Fatal(code)
	}
	file := filepath.Join(dir, "completion."+shell)
	text := strings.ReplaceAll(e.out.String(), "/etc/rollbridge", dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// shell runs one in a directory with a file and a directory in it.
func shell(t *testing.T, name string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(cmd.Dir, "releases", "v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cmd.Dir, "release notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "LC_ALL=C.UTF-8", "TERM=dumb")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// completions are lines and what may follow, in any order.
var completions = []struct {
	line string
	want []string
}{
	{"rollbridge rest", []string{"restart"}},
	{"rollbridge --v", []string{"--version"}},
	{"rollbridge help sh", []string{"shutdown"}},
	{"rollbridge daemon --runner ", []string{"auto", "direct", "systemd"}},
	{"rollbridge daemon --runner=d", []string{"direct"}},
	{"rollbridge restart --policy s", []string{"service", "singleton"}},
	{"rollbridge restart --po", []string{"--policy"}},
	{"rollbridge deploy --release-path rel", []string{"releases"}},
	{"rollbridge deploy --daemon-log-path rel", []string{"release notes.txt", "releases"}},
	{"rollbridge status -c sh", []string{"shop"}},
	{"rollbridge status --config=b", []string{"blog"}},
	{"rollbridge status --config rel", []string{"release notes.txt", "releases"}},
	{"rollbridge deploy --release-id ", nil},
	{"rollbridge nonsense ", nil},
}

func TestBashCompletes(t *testing.T) {
	file := script(t, "bash")
	for _, c := range completions {
		got := shell(t, "bash", testdata(t, "complete.bash"), file, c.line)
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, not %q", c.line, got, c.want)
		}
	}
}

func TestFishCompletes(t *testing.T) {
	file := script(t, "fish")
	for _, c := range completions {
		var got []string
		for _, line := range shell(t, "fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", file, c.line) {
			word, _, _ := strings.Cut(line, "\t")
			_, value, joined := strings.Cut(word, "=")
			if !joined {
				value = word
			}
			got = append(got, strings.TrimSuffix(value, "/"))
		}
		for _, word := range c.want { // beside it there may be what fish finds itself
			if !slices.Contains(got, word) {
				t.Errorf("%q: %q is not among %q", c.line, word, got)
			}
		}
		if c.want == nil && got != nil {
			t.Errorf("%q: %q", c.line, got)
		}
	}
}

func TestZshCompletes(t *testing.T) {
	file := script(t, "zsh")
	for line, want := range map[string]string{
		"rollbridge rest":                          "rollbridge restart ",
		"rollbridge help shut":                     "rollbridge help shutdown ",
		"rollbridge daemon --runner sys":           "rollbridge daemon --runner systemd ",
		"rollbridge daemon --runner=d":             "rollbridge daemon --runner=direct ",
		"rollbridge restart --poli":                "rollbridge restart --policy=",
		"rollbridge deploy --release-path rel":     "rollbridge deploy --release-path releases/",
		"rollbridge deploy --daemon-log-path rele": "rollbridge deploy --daemon-log-path release",
		"rollbridge status -c sh":                  "rollbridge status -c shop ",
		"rollbridge nonsense x":                    "rollbridge nonsense x",
	} {
		output := filepath.Join(t.TempDir(), "line")
		shell(t, "zsh", "-f", testdata(t, "complete.zsh"), file, output, line)
		got, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSuffix(string(got), "\n") != want {
			t.Errorf("%q: %q, not %q", line, got, want)
		}
	}
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCompletionIsOfAKnownShell(t *testing.T) {
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}} {
		e := newTestEnv(t)
		if code := run(e.env, args); code != exitUsage || !strings.Contains(e.err.String(), "hint: one of: bash, zsh, fish") {
			t.Errorf("%q: %d %s", args, code, e.err.String())
		}
	}
}
