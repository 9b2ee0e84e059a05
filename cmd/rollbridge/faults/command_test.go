package faults

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// strange holds all that systemd, the bus, YAML or the shell could take for
// something else.
const strange = `      export A='x y'; exec $APP args '$A' "$A" "${A}" '$$' \$A '%n %% %i %' ';' a\;b 'it'"'"'s' "\"q\"" \
        'two
      lines' "back\\slash" 'back\slash' '\x41\n\t' grüße '☃ 日本' "$(printf 'sub\nst')" '' '{a,b}' '~' '*' '#' '!' '&' '|' '<>' '@' '-' '+' ':' \
        "$ROLLBRIDGE_RELEASE_ID"  '	tab' 'end '; echo never`

func TestCommandsRunUnchanged(t *testing.T) {
	t.Parallel()
	in := start(t, "strange", `
  - id: web
    policy: proxied
    port: $PORTS
    restartDelayMs: 20
    command: |
      $APP args 'a;b' "$((1+1))" '$x' '%n' 'ü
      ' &
      exec $APP web
  - id: worker
    restartDelayMs: 20
    command: |
`+strange)
	in.deploy("v1")
	want := in.shellSays(strange)
	check := func(n int) {
		t.Helper()
		entries := in.awaitEntries(n, "args", "worker")
		if got := entries[n-1].text; got != want {
			t.Errorf("instance %d:\n got %s\nwant %s", n, got, want)
		}
		ofWeb := in.awaitEntries(n, "args", "web")
		if got := ofWeb[n-1].text; got != `["a;b","2","$x","%n","ü\n"]` {
			t.Errorf("instance %d of web: %s", n, got)
		}
	}
	check(1)
	for i := range 3 {
		systemctl(t, "daemon-reload")
		in.crash("worker")
		in.crash("web")
		check(i + 2)
	}
	in.killDaemon()
	in.crash("worker")
	in.crash("web")
	check(5)
}

// shellSays is what the shell makes of a command's arguments, without anything
// in between.
func (in *instance) shellSays(command string) string {
	in.t.Helper()
	dir := filepath.Join(in.t.TempDir(), "releases/v1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		in.t.Fatal(err)
	}
	diary := filepath.Join(dir, "../../diary")
	in.write(diary, "")
	text := strings.ReplaceAll(strings.ReplaceAll(command, "\n      ", "\n"), "$APP", self+" app")
	cmd := exec.Command("sh", "-c", strings.TrimPrefix(text, "      "))
	cmd.Env = []string{"ROLLBRIDGE_PROCESS_ID=worker", "ROLLBRIDGE_RELEASE_ID=v1", "ROLLBRIDGE_RELEASE_PATH=" + dir}
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var entries []entry
	in.eventually("the shell has run the command", func() bool { entries = readDiary(in.t, diary); return len(entries) > 0 })
	var args []string
	if err := json.Unmarshal([]byte(entries[0].text), &args); err != nil || len(args) != 33 {
		in.t.Fatalf("%d arguments: %s", len(args), entries[0].text)
	}
	return entries[0].text
}
