package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// caller is a running rollbridge and the daemon it talks to, which is the test.
type caller struct {
	t      *testing.T
	cmd    *exec.Cmd
	socket net.Listener
	stderr *bufio.Reader
}

func startCaller(t *testing.T, args ...string) *caller {
	t.Helper()
	dir, err := os.MkdirTemp("", "rb") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "rollbridge.yaml"), []byte(plainConfig("shop")), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	socket.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute))
	cmd := exec.Command("rollbridge", args...)
	cmd.Dir = dir
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); socket.Close() })
	return &caller{t: t, cmd: cmd, socket: socket, stderr: bufio.NewReader(stderr)}
}

// asked waits for a command and returns how to answer it.
func (c *caller) asked(command string) net.Conn {
	c.t.Helper()
	conn, err := c.socket.Accept()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	var request struct{ Command string }
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || json.Unmarshal([]byte(line), &request) != nil || request.Command != command {
		c.t.Fatalf("asked %q, want %s: %v", line, command, err)
	}
	return conn
}

// says waits for a line on stderr.
func (c *caller) says(text string) {
	c.t.Helper()
	line, err := c.stderr.ReadString('\n')
	if err != nil || !strings.Contains(line, text) {
		c.t.Fatalf("it says %q, want %q: %v", line, text, err)
	}
}

func TestFirstInterruptLeavesTheDeployToTheDaemon(t *testing.T) {
	c := startCaller(t, "deploy", "--release-path", "r42")
	deploy := c.asked("deploy")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("The deploy goes on in the daemon; Ctrl-C again cancels it.")
	io.WriteString(deploy, answers["deploy"]+"\n")
	if err := c.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestSecondInterruptCancelsTheDeploy(t *testing.T) {
	c := startCaller(t, "deploy", "--release-path", "r42")
	deploy := c.asked("deploy")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("goes on in the daemon")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("Cancelling the deploy")
	io.WriteString(c.asked("cancel"), answers["cancel"]+"\n")
	io.WriteString(deploy, `{"error":"deploy of 42: cancelled","status":"error","code":"cancelled"}`+"\n")
	c.says("error: deploy of 42: cancelled")
	c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestRefusedCancelIsTold(t *testing.T) {
	c := startCaller(t, "rollback")
	rollback := c.asked("rollback")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("goes on in the daemon")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("Cancelling the rollback")
	io.WriteString(c.asked("cancel"), `{"error":"traffic has moved","status":"error"}`+"\n")
	c.says("It was not cancelled: traffic has moved")
	io.WriteString(rollback, answers["rollback"]+"\n")
	if err := c.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestThirdInterruptEndsTheCommand(t *testing.T) {
	c := startCaller(t, "deploy", "--release-path", "r42")
	c.asked("deploy")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("goes on in the daemon")
	c.cmd.Process.Signal(os.Interrupt)
	c.says("Cancelling the deploy")
	c.asked("cancel") // and no answer
	c.cmd.Process.Signal(os.Interrupt)
	c.cmd.Wait()
	if c.cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("it ended with %v, not by the signal", c.cmd.ProcessState)
	}
}
