package usermode

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// appMain is the application that is deployed: this test binary, started as
// `usermode.test app ROLE`. It runs until SIGTERM, and says first what it was
// started with, itself and through a child that is gone at once.
func appMain(role string) {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	fmt.Println(role, "says out, with", os.Getenv("FROM_FILE"), "as", os.Getuid())
	fmt.Fprintln(os.Stderr, role, "says err")
	child := exec.Command("echo", role, "has a child that says this")
	child.Stdout = os.Stdout
	if err := child.Run(); err != nil {
		panic(err)
	}
	if role == "web" {
		l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("ROLLBRIDGE_PORT"))
		if err != nil {
			panic(err)
		}
		release := os.Getenv("ROLLBRIDGE_RELEASE_ID")
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, release) }))
	}
	<-end
}
