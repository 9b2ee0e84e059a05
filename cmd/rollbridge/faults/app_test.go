package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The application that is deployed: this test binary, started as
// `faults.test app ROLE KEY=VALUE …` from a release directory, whose files say
// how the release behaves. Everybody keeps the diary of the instance.

func appMain(args []string) {
	switch role, opt := args[0], options(args[1:]); role {
	case "web":
		appWeb(opt)
	case "worker":
		appWorker(opt)
	case "script":
		appScript()
	case "chatter":
		appChatter(opt)
	case "args":
		appArgs(args[1:])
	case "between": // the middle one of a double fork
		inNewSession("child")
	case "child":
		appChild()
	default:
		os.Exit(64)
	}
}

func options(args []string) map[string]string {
	opt := map[string]string{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		opt[key] = value
	}
	return opt
}

// root is the directory of the instance, above the releases.
func root() string { return filepath.Join(os.Getenv("ROLLBRIDGE_RELEASE_PATH"), "../..") }

// setting reads a file of the release directory; "" when there is none.
func setting(name string) string {
	b, _ := os.ReadFile(filepath.Join(os.Getenv("ROLLBRIDGE_RELEASE_PATH"), name))
	return strings.TrimSpace(string(b))
}

// me is the process and its release.
func me() string {
	return os.Getenv("ROLLBRIDGE_PROCESS_ID") + "@" + os.Getenv("ROLLBRIDGE_RELEASE_ID")
}

func note(what, text string) {
	entry{what: what, process: me(), pid: os.Getpid(), at: uptime(), text: text}.write(filepath.Join(root(), "diary"))
}

// terminated is closed at SIGTERM, which does nothing else from now on.
func terminated() <-chan struct{} {
	signals, closed := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM)
	go func() { <-signals; close(closed) }()
	return closed
}

// appWeb answers requests. With children=yes it has a daemon of its own.
func appWeb(opt map[string]string) {
	end := terminated()
	note("start", "")
	fmt.Println("web says out")
	fmt.Fprintln(os.Stderr, "web says err")
	if opt["children"] != "" {
		fork()
	}
	if d, err := time.ParseDuration(setting("slow-start")); err == nil {
		time.Sleep(d)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "pong") })
	mux.HandleFunc("/release", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, os.Getenv("ROLLBRIDGE_RELEASE_ID")) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("note") != "" {
			note("request", "")
		}
		d, _ := time.ParseDuration(r.FormValue("for"))
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		io.WriteString(w, os.Getenv("ROLLBRIDGE_RELEASE_ID"))
	})
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("ROLLBRIDGE_PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(l, mux)
	<-end
	note("end", "")
}

// appWorker runs until SIGTERM. With a file "crash" in its release it ends at
// once, with the status written there. Options: once=NAME there may be only one;
// linger=DURATION before it ends; status=CODE it ends with; children=yes it has a
// daemon of its own.
func appWorker(opt map[string]string) {
	end := terminated()
	note("start", "")
	if code, err := strconv.Atoi(setting("crash")); err == nil {
		note("end", "")
		os.Exit(code)
	}
	if opt["once"] != "" {
		claim(opt["once"])
	}
	if opt["children"] != "" {
		fork()
	}
	<-end
	note("signal", "SIGTERM")
	if d, err := time.ParseDuration(opt["linger"]); err == nil {
		time.Sleep(d)
	}
	note("end", "")
	code, _ := strconv.Atoi(opt["status"])
	os.Exit(code)
}

// claim takes a lock until the process ends, or notes that somebody who has it
// lives. Locks end with their processes: nothing is missed, nothing invented.
func claim(lock string) *os.File {
	f, err := os.OpenFile(filepath.Join(root(), lock+".lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		panic(err)
	}
	claims = append(claims, f)
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		note("overlap", lock)
	}
	return f
}

// claims keeps the files from being closed.
var claims []*os.File

// fork starts a daemon that is nobody's child, and notes when that of an earlier
// instance still lives.
func fork() {
	claim(childLock()).Close()
	inNewSession("between").Wait()
}

func childLock() string { return "child-of-" + me() }

func inNewSession(role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "app", role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd
}

// appChild lives for ever, whatever it hears.
func appChild() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	claim(childLock())
	note("child", "")
	select {}
}

// appScript lives as long as the file "script" says for its n-th start, in
// milliseconds, and ends with status 1. The first life, "wait", lasts until
// SIGUSR1.
func appScript() {
	begin := make(chan os.Signal, 1)
	signal.Notify(begin, syscall.SIGUSR1)
	note("start", "")
	lives := strings.Fields(setting("script"))
	b, _ := os.ReadFile(filepath.Join(root(), "diary"))
	n := strings.Count(string(b), "start "+me()+" ") - 1
	if n >= len(lives) {
		select {}
	}
	if lives[n] == "wait" {
		<-begin
	}
	ms, _ := strconv.Atoi(lives[n])
	time.Sleep(time.Duration(ms) * time.Millisecond)
	note("end", "")
	os.Exit(1)
}

// appChatter writes numbered lines and stays. Options: lines=N, every=DURATION.
func appChatter(opt map[string]string) {
	end := terminated()
	every, _ := time.ParseDuration(opt["every"])
	lines, _ := strconv.Atoi(opt["lines"])
	note("start", "")
	for i := range lines {
		fmt.Println("line", i)
		time.Sleep(every)
	}
	note("said", "")
	<-end
}

// appArgs writes down its arguments.
func appArgs(args []string) {
	end := terminated()
	text, _ := json.Marshal(args)
	note("args", string(text))
	<-end
}
