package acceptance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestSecretsComeFromFilesAndGoNowhereElse(t *testing.T) {
	h := newHost(t, "envFile: secrets.env\n"+basicConfig+
		`  - {id: worker, command: "exec $APP worker", restartDelayMs: 50, envFile: "-worker.{{processId}}.env", env: {OWN: own}}`)
	h.write("secrets.env", "SECRET='hunter2 first'\nOWN=file\nROLLBRIDGE_REVISION=file\n")
	h.startDaemon()
	h.deploy("v1", "worker.worker.env", "SECRET=\"hunter2 of the release\"\n")
	if _, env := h.get("/env"); !slices.Contains(strings.Split(env, "\n"), "SECRET=hunter2 first") {
		t.Errorf("the web process has\n%s", env)
	}
	has := func(want ...string) {
		t.Helper()
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid(h.process("worker"))))
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range want {
			if !slices.Contains(strings.Split(string(environ), "\x00"), setting) {
				t.Errorf("the worker lacks %s", setting)
			}
		}
	}
	has("SECRET=hunter2 of the release", "OWN=own", "ROLLBRIDGE_REVISION=file")

	if err := os.Remove(h.path("releases/v1/worker.worker.env")); err != nil {
		t.Fatal(err)
	}
	h.write("secrets.env", "SECRET='hunter2 second'\n")
	h.kill("worker", syscall.SIGKILL)
	h.awaitEvent("process started", func(data object) bool { return data["processId"] == "worker" && data["reason"] == "crash" })
	has("SECRET=hunter2 second", "ROLLBRIDGE_REVISION=v1")

	h.write("secrets.env", "SECRET='hunter2 third\n")
	want := "environment file " + h.path("secrets.env") + ": line 1 begins a quotation that does not end"
	if r := h.tryDeploy("v2"); r.code != 1 || !strings.Contains(r.stderr, want) {
		t.Errorf("a file with a mistake: %+v", r)
	}
	equal(t, "states", h.states(), []string{"v1 active"})

	for _, args := range [][]string{{"status"}, {"status", "--text"}, {"events"}, {"logs"}} {
		if r := h.cli(args...); strings.Contains(r.stdout+r.stderr, "hunter2") {
			t.Errorf("%v tells the secret: %+v", args, r)
		}
	}
	if text := fmt.Sprint(h.log()); strings.Contains(text, "hunter2") {
		t.Errorf("the log tells the secret: %s", text)
	}
}
