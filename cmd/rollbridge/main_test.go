package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or each program takes a second to end
	testscript.Main(m, map[string]func(){
		"rollbridge":  main,
		"with-daemon": withDaemon,
		"bounded":     bounded,
		"taken-port":  takenPort,
		"app":         app,
	})
}

// The program as its user: each script is a chapter of the manual.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(s *testscript.Env) error {
			s.Defer(func() { endDaemon(s.WorkDir) })
			s.Setenv("GORACE", os.Getenv("GORACE"))
			s.Setenv("NO_COLOR", "")
			s.Setenv("USER_LINE", userLine())
			s.Setenv("ROLLBRIDGE_RUNNER", "direct")
			s.Setenv("XDG_RUNTIME_DIR", s.WorkDir)
			return errors.Join(
				writeConfig(s.WorkDir, "rollbridge", "shop"),
				writeConfig(s.WorkDir, "elsewhere", "shop"),
				writeConfig(s.WorkDir, "other", "other"))
		},
	})
}

func writeConfig(dir, name, application string) error {
	return os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(plainConfig(application)), 0o644)
}

// plainConfig is a small valid configuration. Root has to name a user.
func plainConfig(application string) string {
	return userLine() + "application: " + application + `
control: {path: control.sock}
proxy: {port: 0}
processes:
  - {id: web, policy: proxied, command: "LIMIT=$(ulimit -Sn) exec app", port: 0}
  - {id: worker, command: "exec sleep 1000"}
`
}

// endDaemon ends a daemon that a failed script left.
func endDaemon(dir string) {
	if _, err := os.Stat(filepath.Join(dir, "control.sock")); err != nil {
		return
	}
	cmd := exec.Command("rollbridge", "shutdown")
	cmd.Dir = dir
	cmd.Run()
}

// app is a web process. In a release directory with a file "fail" it does not
// start.
func app() {
	if _, err := os.Stat("fail"); err == nil {
		fmt.Fprintln(os.Stderr, "cannot go on")
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("ROLLBRIDGE_PORT"))
	if err != nil {
		panic(err)
	}
	fmt.Printf("ready, %s descriptors\n", os.Getenv("LIMIT"))
	http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// takenPort runs a command while the port of taken.yaml is taken.
func takenPort() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	port := strings.TrimPrefix(l.Addr().String(), "127.0.0.1:")
	text := strings.Replace(plainConfig("shop"), "proxy: {port: 0}", "proxy: {port: "+port+"}", 1)
	if err := os.WriteFile("taken.yaml", []byte(text), 0o644); err != nil {
		panic(err)
	}
	os.Exit(exitCode(exec.Command(os.Args[1], os.Args[2:]...)))
}

func userLine() string {
	if os.Geteuid() != 0 {
		return ""
	}
	return "user: root\n"
}

// withDaemon listens on a control socket as a daemon with a defect, and runs a
// command meanwhile, whose exit code is its own:
//
//	with-daemon silent control.sock rollbridge status
//
// What the command asks for goes to stderr.
func withDaemon() {
	os.Remove(os.Args[2]) // of the one before
	l, err := net.Listen("unix", os.Args[2])
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go defects[os.Args[1]](conn)
		}
	}()
	os.Exit(exitCode(exec.Command(os.Args[3], os.Args[4:]...)))
}

// bounded runs a command, and kills it when it takes longer than a test waits.
func bounded() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	time.AfterFunc(time.Minute, func() {
		fmt.Fprintln(os.Stderr, "took too long")
		cmd.Process.Kill()
	})
	os.Exit(exitCode(cmd))
}

// exitCode runs a command and returns its exit code.
func exitCode(cmd *exec.Cmd) int {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Run()
	return cmd.ProcessState.ExitCode()
}

// defects are the ways in which a daemon goes wrong after it was asked.
var defects = map[string]func(net.Conn){
	"silent":  func(conn net.Conn) { ask(conn); select {} },
	"dying":   func(conn net.Conn) { ask(conn); conn.Close() },
	"garbage": func(conn net.Conn) { ask(conn); io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") },
	"broken":  func(conn net.Conn) { ask(conn); io.WriteString(conn, `{"status":"succ`); conn.Close() },
	"failing": func(conn net.Conn) {
		answer(conn, `{"error":"No previous release to roll back to.","status":"error","code":"failed","hint":"deploy twice first"}`)
	},
	"answering": func(conn net.Conn) {
		line := ask(conn)
		for command, text := range answers {
			if strings.Contains(line, `"command":"`+command+`"`) {
				io.WriteString(conn, text+"\n")
			}
		}
	},
}

func answer(conn net.Conn, text string) {
	ask(conn)
	io.WriteString(conn, text+"\n")
}

// ask reads one command line.
func ask(conn net.Conn) string {
	line, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Fprint(os.Stderr, "asked: ", line)
	return line
}

const statusAnswer = `{"status":"success","activeReleaseId":"42","application":"shop","zebra":1,"daemonRuntime":{"digest":"sha256:00","format":1,"path":"/x","version":"9"},` +
	`"orphans":[],"pid":7,"proxy":{"host":"127.0.0.1","port":8182,"upstreamHost":"127.0.0.1","held":0},"releases":[],"services":[],"singletons":[],"runner":"direct","startedAt":"2026-01-01T00:00:00.000Z"}`

// answers are what a daemon says, with fields this program does not know.
var answers = map[string]string{
	"status":   statusAnswer,
	"stop":     statusAnswer,
	"deploy":   `{"status":"progress","progress":{"phase":"plan","message":"release 42"}}` + "\n" + `{"status":"success","activeReleaseId":"42","previousReleaseId":null,"generation":1,"warnings":[{"processId":"worker","message":"restarted once"}]}`,
	"rollback": `{"status":"success","activeReleaseId":"41","previousReleaseId":"42","generation":2}`,
	"restart":  `{"status":"success","restarted":["worker#0","worker#1"]}`,
	"cancel":   `{"status":"success","cancelled":"deploy"}`,
	"shutdown": `{"status":"success","message":"shutdown"}`,
	"logs": `{"status":"success","processes":[{"id":"web","logs":[{"at":"2026-01-01T00:00:00.000Z","line":"<up>","stream":"stdout"},{"at":"2026-01-01T00:00:01.000Z","line":"oops","stream":"stderr"}],"source":"release 42 (active)"},` +
		`{"id":"broker","logs":[],"source":"service"}]}`,
	"events": `{"status":"success","events":[{"at":"2026-01-01T00:00:00.000Z","data":{},"message":"nothing"},{"at":"2026-01-01T00:00:01.000Z","data":{"b":"<x>","a":null},"message":"something"}]}`,
}
