package systemd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// errCannotRun is that journalctl is not there, or cannot be executed.
var errCannotRun = errors.New("journalctl cannot be run")

// maxEntry is where an entry is too long to be read. What a program writes line
// by line is far below; bytes take up to four characters each.
const maxEntry = 4 << 20

// run runs journalctl and tells each entry that it prints, until tell has
// enough, ctx ends, or journalctl does, which is an error when it complains.
func (j *Journal) run(ctx context.Context, args []string, tell func(Entry) bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd, complaint := j.command(ctx, args)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", errCannotRun, err)
	}
	enough := readEntries(out, tell)
	if enough {
		stop()
	}
	err = cmd.Wait()
	if enough {
		return nil
	}
	return explain(ctx, err, complaint)
}

// output runs journalctl for what it prints.
func (j *Journal) output(ctx context.Context, args ...string) (string, error) {
	cmd, complaint := j.command(ctx, args)
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && ctx.Err() == nil && !errors.As(err, &exit) {
		return "", fmt.Errorf("%w: %w", errCannotRun, err)
	}
	return out.String(), explain(ctx, err, complaint)
}

// command is a journalctl that the environment of this program does not change.
func (j *Journal) command(ctx context.Context, args []string) (*exec.Cmd, *head) {
	cmd := exec.CommandContext(ctx, j.program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	cmd.WaitDelay = time.Second
	complaint := &head{}
	cmd.Stderr = complaint
	return cmd, complaint
}

// explain is the error of a journalctl that ended, in its own words.
func explain(ctx context.Context, err error, complaint *head) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(string(*complaint)), "\n"); first != "" {
		return errors.New("journalctl: " + first)
	}
	return fmt.Errorf("journalctl: %w", err)
}

// readEntries reads to the end, or until tell has enough. What is no entry, or
// too long for one, is passed over.
func readEntries(from io.Reader, tell func(Entry) bool) (enough bool) {
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := readLine(r)
		if len(line) > 0 {
			if e, err := parseEntry(line); err == nil && !tell(e) {
				return true
			}
		}
		if err != nil {
			return false
		}
	}
}

// readLine reads a line; one that is too long is read and forgotten.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxEntry; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// head keeps the beginning of what is written to it.
type head []byte

// Write never fails.
func (h *head) Write(p []byte) (int, error) {
	const enough = 4 << 10
	*h = append(*h, p[:min(len(p), enough-len(*h))]...)
	return len(p), nil
}
