package faults

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// load is requests that come one after the other on some connections.
type load struct {
	in     *instance
	stop   chan struct{}
	done   sync.WaitGroup
	served atomic.Int64

	mu     sync.Mutex
	failed []string
}

// underLoad begins to ask.
func (in *instance) underLoad() *load {
	l := &load{in: in, stop: make(chan struct{})}
	for range 4 {
		l.done.Go(l.client)
	}
	return l
}

func (l *load) client() {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: patience}
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		if err := l.request(&client); err != nil {
			l.mu.Lock()
			l.failed = append(l.failed, err.Error())
			l.mu.Unlock()
		} else {
			l.served.Add(1)
		}
	}
}

func (l *load) request(client *http.Client) error {
	res, err := client.Get(l.in.url("/slow?for=2ms"))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return err
}

// end ends the load; not one request may have failed.
func (l *load) end() {
	l.in.t.Helper()
	close(l.stop)
	l.done.Wait()
	if len(l.failed) > 0 {
		l.in.t.Errorf("%d requests failed, the first: %s", len(l.failed), l.failed[0])
	}
	if l.served.Load() == 0 {
		l.in.t.Error("nothing was served")
	}
}
