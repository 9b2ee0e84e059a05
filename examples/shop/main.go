// Shop is a small application to deploy with rollbridge: a web server, a
// worker whose jobs need time, a scheduler that must never run twice, and the
// broker that joins them. One binary, one subcommand for each process.
//
// A release is a directory with this binary and a file VERSION; a file BROKEN
// that holds "unhealthy" or "crash" makes it a release that must not go live.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var roles = map[string]func(context.Context) error{
	"web":       runWeb,
	"worker":    runWorker,
	"scheduler": runScheduler,
	"broker":    runBroker,
}

func main() {
	role := ""
	if len(os.Args) == 2 {
		role = os.Args[1]
	}
	run := roles[role]
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: shop web|worker|scheduler|broker")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	fmt.Printf("shop %s of release %s starts\n", role, version("."))
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "shop %s: %v\n", role, err)
		os.Exit(1)
	}
	fmt.Printf("shop %s of release %s has ended\n", role, version("."))
}

// version is what the release directory says it is. It reads the file and not
// the environment, so that an answer proves which directory's code gave it.
func version(dir string) string {
	text, err := os.ReadFile(dir + "/VERSION")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// ownAddress is where rollbridge wants this process to listen.
func ownAddress() (string, error) {
	return address("ROLLBRIDGE_PORT")
}

func brokerAddress() (string, error) {
	return address("ROLLBRIDGE_BROKER_PORT")
}

func address(variable string) (string, error) {
	port := os.Getenv(variable)
	if port == "" {
		return "", fmt.Errorf("%s is not set: start this with rollbridge, or set it", variable)
	}
	return net.JoinHostPort("127.0.0.1", port), nil
}

// milliseconds reads a duration from the environment.
func milliseconds(variable string, otherwise time.Duration) time.Duration {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 1 {
		return otherwise
	}
	return time.Duration(n) * time.Millisecond
}
