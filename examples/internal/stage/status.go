package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// A Status is what the drivers read of `rollbridge status --json`.
type Status struct {
	ActiveReleaseID string `json:"activeReleaseId"`
	Proxy           struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	} `json:"proxy"`
	Releases []struct {
		ReleaseID string `json:"releaseId"`
		State     string `json:"state"`
	} `json:"releases"`
	Daemon struct {
		Goroutines int   `json:"goroutines"`
		FDs        int   `json:"fds"`
		RSSBytes   int64 `json:"rssBytes"`
	} `json:"daemon"`
}

// Status asks the daemon.
func (s *Stage) Status(ctx context.Context) (Status, error) {
	var st Status
	out, err := s.call(ctx, "status")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(out, &st)
}

// Figures are what a daemon holds.
type Figures struct {
	Goroutines int
	FDs        int
	RSS        int64 // bytes
}

// Figures measures the daemon. Descriptors and memory are the kernel's word;
// only goroutines have to be asked for.
func (s *Stage) Figures(ctx context.Context) (Figures, error) {
	st, err := s.Status(ctx)
	if err != nil {
		return Figures{}, err
	}
	if st.Daemon.Goroutines == 0 {
		return Figures{}, fmt.Errorf("status tells no number of goroutines")
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		return Figures{}, err
	}
	rss, err := residentBytes(s.PID())
	return Figures{st.Daemon.Goroutines, len(fds), rss}, err
}

func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte("VmRSS:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0, fmt.Errorf("VmRSS of process %d: %w", pid, err)
	}
	return kib << 10, nil
}

// Drained waits until no release but the active one runs.
func (s *Stage) Drained(ctx context.Context) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		st, err := s.Status(ctx)
		if err != nil {
			return err
		}
		if st.draining() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d releases still drain: %w", st.draining(), context.Cause(ctx))
		case <-again.C:
		}
	}
}

func (st Status) draining() (n int) {
	for _, r := range st.Releases {
		if r.State == "draining" {
			n++
		}
	}
	return n
}
