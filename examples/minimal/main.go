// Minimal is the smallest application that rollbridge can deploy: it listens
// where it is told to, answers, and finishes its requests when told to stop.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	release := os.Getenv("ROLLBRIDGE_RELEASE_ID")
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from release %s\n", release)
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("ROLLBRIDGE_PORT")}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	finished := make(chan error, 1)
	context.AfterFunc(ctx, func() { finished <- server.Shutdown(context.Background()) })
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-finished; err != nil {
		log.Fatal(err)
	}
}
