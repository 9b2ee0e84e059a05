package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// The application that is deployed: this test binary, started as
// `acceptance.test app web|worker …` from a release directory, whose files say
// how the release behaves.

func appMain(args []string) {
	switch args[0] {
	case "web":
		appWeb()
	case "worker":
		appWorker(args[1:])
	default:
		os.Exit(64)
	}
}

// setting reads a file of the release directory; "" when there is none.
func setting(name string) string {
	b, _ := os.ReadFile(filepath.Join(os.Getenv("ROLLBRIDGE_RELEASE_PATH"), name))
	return strings.TrimSpace(string(b))
}

func appWeb() {
	if code := setting("exit"); code != "" {
		fmt.Fprintln(os.Stderr, "cannot load the application")
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
	if ms := setting("slow-start"); ms != "" {
		n, _ := strconv.Atoi(ms)
		time.Sleep(time.Duration(n) * time.Millisecond)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ping", func(w http.ResponseWriter, r *http.Request) {
		switch answer := setting("ping"); answer {
		case "":
			io.WriteString(w, "pong")
		case "silent":
			<-r.Context().Done()
		case "redirect":
			http.Redirect(w, r, "/release", http.StatusFound)
		default:
			code, _ := strconv.Atoi(answer)
			w.WriteHeader(code)
		}
	})
	mux.HandleFunc("/release", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, os.Getenv("ROLLBRIDGE_RELEASE_ID"))
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Join(os.Environ(), "\n"))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.FormValue("for"))
		time.Sleep(d)
		io.WriteString(w, os.Getenv("ROLLBRIDGE_RELEASE_ID"))
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		io.Copy(h, r.Body)
		io.WriteString(w, hex.EncodeToString(h.Sum(nil)))
	})
	mux.HandleFunc("/hold", func(_ http.ResponseWriter, r *http.Request) { go hold(r.FormValue("mib")) })
	mux.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(7) })
	mux.HandleFunc("/ws", appWebSocket)
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("ROLLBRIDGE_PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	http.Serve(l, mux)
}

func appWebSocket(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if conn.WriteMessage(kind, append([]byte(os.Getenv("ROLLBRIDGE_RELEASE_ID")+" "), data...)) != nil {
			return
		}
	}
}

// appWorker appends "start", "signal NAME" and "end" lines to the diary file
// named by $DIARY. Its arguments: ignore=SIGNAL, linger=DURATION (before it ends
// on a signal), exit=CODE after=DURATION, hold=MIB (of memory).
func appWorker(args []string) {
	opt := map[string]string{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		opt[key] = value
	}
	note("start")
	hold(opt["hold"])
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1)
	var after <-chan time.Time
	if d, err := time.ParseDuration(opt["after"]); err == nil {
		after = time.After(d)
	}
	code, _ := strconv.Atoi(opt["exit"])
	for {
		select {
		case <-after:
			note("end")
			os.Exit(code)
		case sig := <-signals:
			name := map[os.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGUSR1: "SIGUSR1"}[sig]
			note("signal " + name)
			if opt["ignore"] == name {
				continue
			}
			if d, err := time.ParseDuration(opt["linger"]); err == nil {
				time.Sleep(d)
			}
			note("end")
			return
		}
	}
}

// held is memory that is not given back.
var held [][]byte

// hold uses that many MiB of memory from now on.
func hold(mebibytes string) {
	n, _ := strconv.Atoi(mebibytes)
	memory := make([]byte, n<<20)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	held = append(held, memory)
}

// note appends a line to the diary: what, of which release and process, when.
func note(what string) {
	path := os.Getenv("DIARY")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s %s@%s #%d\n", what, os.Getenv("ROLLBRIDGE_PROCESS_ID"), os.Getenv("ROLLBRIDGE_RELEASE_ID"), os.Getpid())
}
