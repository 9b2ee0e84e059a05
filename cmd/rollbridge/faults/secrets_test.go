package faults

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreShownNowhere(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	in := newInstance(t, "secret", web+`
  - {id: worker, command: "exec $APP worker", restartDelayMs: 20, env: {A: hunter2-env}, envFile: $DIR/own.env}
  - {id: queue, policy: service, command: "exec $APP worker", restartDelayMs: 20, env: {A: hunter2-service}}
  - {id: sched, policy: singleton, command: "exec $APP worker once=sched", restartDelayMs: 20, env: {A: hunter2-singleton}}
  - {id: bad, command: "[ -e ./crash ] && exit 3; exec sleep infinity", restartDelayMs: 1, restart: {maxRestarts: 2}, env: {A: hunter2-bad}}`)
	in.write(in.path("own.env"), "B=hunter2-file\n")
	if err := os.Chmod(in.path("own.env"), 0o600); err != nil {
		t.Fatal(err)
	}
	in.startDaemon()
	in.deploy("v1")
	p := in.crash("worker")
	environ, err := os.ReadFile("/proc/" + property(t, in.unit("worker.v1"), "MainPID") + "/environ")
	if err != nil || !bytes.Contains(environ, []byte("A=hunter2-env")) || !bytes.Contains(environ, []byte("B=hunter2-file")) {
		t.Fatalf("the worker %+v has %q, %v", p, environ, err)
	}
	in.crash("web")
	in.killDaemon()
	in.deploy("v2")
	in.tryDeploy("v3", "crash", "")

	for what, text := range map[string]string{
		"status":         in.must("status"),
		"status --text":  in.must("status", "--text"),
		"events":         in.must("events", "--json"),
		"logs":           in.must("logs", "--json"),
		"systemctl show": systemctl(t, "show", "--all", "rollbridge-secret.*", in.daemon()),
		"the unit files": command(t, "sh", "-c", "cat /run/systemd/transient/rollbridge-secret.worker.v2.service /run/systemd/transient/rollbridge-secret.*; true"),
		"the journal":    command(t, "journalctl", "-o", "export", "-u", "rollbridge-secret.*", "-u", in.daemon()),
		"all processes":  command(t, "ps", "-e", "-o", "args"),
	} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, secret) {
				t.Errorf("%s tells it: %s", what, line)
			}
		}
	}
	in.onlyRootReads("/run/rollbridge/secret", secret)
	in.onlyRootReads("/var/lib/rollbridge/secret", secret)
	if b, err := os.ReadFile("/var/lib/rollbridge/secret/state.json"); err != nil || bytes.Contains(b, []byte(secret)) {
		t.Errorf("the state (%v) tells it", err)
	}
	definitions, _ := filepath.Glob("/run/rollbridge/secret/exec/*.json")
	if len(definitions) < 5 {
		t.Errorf("definitions: %v", definitions)
	}
	for _, file := range definitions {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

// onlyRootReads checks that files with a text in them are readable by their owner
// alone, who is root.
func (in *instance) onlyRootReads(dir, text string) {
	in.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && bytes.Contains(b, []byte(text)) && info.Mode().Perm()&0o077 != 0 {
			in.t.Errorf("%s tells it, mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		in.t.Error(err)
	}
}
