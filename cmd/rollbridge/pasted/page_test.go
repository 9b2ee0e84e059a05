package pasted

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollbridge/supervisor/systemd/systemdtest"
)

// asUser begins a block that is not for root.
const asUser = "# as the user\n"

// page is the text of a page of the repository.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what a page has below a headline of the second level.
func section(t *testing.T, text, title string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n## "+title+"\n")
	if !found {
		t.Fatalf("there is no section %q", title)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// blocksOf are the blocks of shell commands in a text.
func blocksOf(t *testing.T, text string) []string {
	t.Helper()
	var blocks []string
	for _, part := range strings.Split("\n"+text, "\n```sh\n")[1:] {
		block, _, closed := strings.Cut(part, "\n```\n")
		if !closed {
			t.Fatalf("a block does not end:\n%s", part)
		}
		blocks = append(blocks, block+"\n")
	}
	if len(blocks) == 0 {
		t.Fatal("there are no blocks")
	}
	return blocks
}

// pasteAll runs blocks one after the other: those for root, and as the user those
// that are not. It returns all output.
func pasteAll(t *testing.T, h *systemdtest.Host, user string, blocks []string) string {
	t.Helper()
	var out strings.Builder
	for _, block := range blocks {
		if strings.HasPrefix(block, asUser) {
			out.WriteString(pasteAs(t, h, user, block))
		} else {
			out.WriteString(paste(t, h, block))
		}
	}
	return out.String()
}

// paste runs a block, of which every command must succeed, and returns its output.
func paste(t *testing.T, h *systemdtest.Host, block string) string {
	t.Helper()
	out, err := run(t, h, "sh", "-e", "-c", block)
	if err != nil {
		t.Fatalf("%v:\n%s\n%s", err, block, out)
	}
	return out
}

// pasteAs runs a block as a user who has logged in, once the user's own systemd is
// there, if the user has one that stays.
func pasteAs(t *testing.T, h *systemdtest.Host, user, block string) string {
	t.Helper()
	out, err := runAs(t, h, user, block)
	if err != nil {
		t.Fatalf("%v, as %s:\n%s\n%s", err, user, block, out)
	}
	return out
}

func runAs(t *testing.T, h *systemdtest.Host, user, block string) (string, error) {
	const login = `
uid=$(id -u "$0")
! test -e "/var/lib/systemd/linger/$0" || until test -S /run/user/$uid/bus; do sleep 0.05; done
cd "/home/$0"
exec setpriv --reuid "$0" --regid "$0" --init-groups env HOME="/home/$0" USER="$0" XDG_RUNTIME_DIR=/run/user/$uid sh -e -c "$1"`
	return run(t, h, "sh", "-e", "-c", login, user, block)
}

// run runs a command in a scope: on 252 nobody hears of the end of a service when
// systemd was reloaded meanwhile.
func run(t *testing.T, h *systemdtest.Host, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := h.Command(ctx, append([]string{"systemd-run", "--scope", "--quiet", "--collect", "--"}, argv...)...).CombinedOutput()
	return string(out), err
}

// answers waits until a release answers at the address of a proxy.
func answers(t *testing.T, h *systemdtest.Host, port int, release string) {
	t.Helper()
	ask := fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d && printf 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3 && cat <&3`, port)
	want := "hello from release " + release + "\n"
	var out string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ = run(t, h, "bash", "-c", ask); strings.HasSuffix(out, want) {
			return
		}
	}
	t.Fatalf("port %d answers %q, not %q", port, out, want)
}
