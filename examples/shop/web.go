package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what a request may ask for.
const (
	maxEcho  = 8 << 20
	maxBig   = 1 << 30
	maxSlow  = 30_000 // milliseconds
	maxParts = 1_000
)

// A shop answers the requests of one release.
type shop struct {
	release string
	healthy bool
	stop    context.Context // ended when the process is to end
	sockets sync.WaitGroup
}

func runWeb(ctx context.Context) error {
	fault := fault(".")
	if fault == "crash" {
		return errors.New("this release is broken and crashes at its start")
	}
	addr, err := ownAddress()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &shop{release: version("."), healthy: fault != "unhealthy", stop: ctx}
	return s.serve(l)
}

// fault is what is wrong with the release in dir, for trying out failure.
func fault(dir string) string {
	text, _ := os.ReadFile(dir + "/BROKEN")
	return strings.TrimSpace(string(text))
}

// serve answers until the process is told to stop, and then finishes what it
// has begun.
func (s *shop) serve(l net.Listener) error {
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	finished := make(chan error, 1)
	context.AfterFunc(s.stop, func() { finished <- server.Shutdown(context.Background()) })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err := <-finished
	s.sockets.Wait()
	return err
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.hello)
	mux.HandleFunc("GET /ping", s.ping)
	mux.HandleFunc("GET /release", s.tellRelease)
	mux.HandleFunc("POST /echo", s.echo)
	mux.HandleFunc("GET /slow", s.slow)
	mux.HandleFunc("GET /stream", s.stream)
	mux.HandleFunc("GET /big", s.big)
	mux.HandleFunc("POST /upload", s.upload)
	mux.HandleFunc("GET /request", s.tellRequest)
	mux.HandleFunc("POST /order", s.order)
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("GET /ws", s.socket)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Release", s.release)
		mux.ServeHTTP(w, r)
	})
}

func (s *shop) hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "Welcome to the shop, release %s.\n", s.release)
}

func (s *shop) ping(w http.ResponseWriter, _ *http.Request) {
	if !s.healthy {
		http.Error(w, "this release is broken", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "pong")
}

func (s *shop) tellRelease(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, s.release)
}

// echo sends the body back the way it came: sized or in chunks.
func (s *shop) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEcho))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.ContentLength < 0 {
		http.NewResponseController(w).Flush() // headers leave without a length
	} else {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.Write(body)
}

func (s *shop) slow(w http.ResponseWriter, r *http.Request) {
	if pause(r, number(r, "ms", 1000, maxSlow)) {
		fmt.Fprintln(w, s.release)
	}
}

// stream sends server-sent events with pauses between them.
func (s *shop) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes each one on at once
	out := http.NewResponseController(w)
	ms := number(r, "ms", 100, maxSlow)
	for part := range number(r, "parts", 5, maxParts) {
		fmt.Fprintf(w, "data: part %d of release %s\n\n", part, s.release)
		if out.Flush() != nil || !pause(r, ms) {
			return
		}
	}
	fmt.Fprint(w, "data: end\n\n")
}

// tellRequest shows the request as it arrived, for finding out what the proxies
// in front make of it.
func (s *shop) tellRequest(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	r.Header.Write(w)
}

// order gives the worker a job.
func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	s.withBroker(w, r, func(q *queue) error {
		if err := q.put("order of release " + s.release); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	})
}

// stats tells how many jobs were put, done and lost.
func (s *shop) stats(w http.ResponseWriter, r *http.Request) {
	s.withBroker(w, r, func(q *queue) error {
		answer, err := q.stats()
		if err == nil {
			fmt.Fprintln(w, answer)
		}
		return err
	})
}

func (s *shop) withBroker(w http.ResponseWriter, r *http.Request, do func(*queue) error) {
	q, err := dialBroker(r.Context())
	if err == nil {
		defer q.Close()
		err = do(q)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// number is a query value between 0 and limit.
func number(r *http.Request, name string, otherwise, limit int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return otherwise
	}
	return max(0, min(n, limit))
}

// pause waits; false when the client has gone meanwhile.
func pause(r *http.Request, ms int) bool {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return true
	case <-r.Context().Done():
		return false
	}
}
