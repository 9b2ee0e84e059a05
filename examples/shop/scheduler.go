package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Files in the directory SHOP_STATE_DIR, which all releases share.
const (
	lockFile       = "scheduler.lock"
	violationsFile = "violations.log"
)

// runScheduler puts a job into the queue at every tick. Two schedulers would
// put each job twice, so it proves that it is alone: it holds a lock, and
// leaves a record when another one holds it.
func runScheduler(ctx context.Context) error {
	dir := os.Getenv("SHOP_STATE_DIR")
	if dir == "" {
		return errors.New("SHOP_STATE_DIR is not set: it names a directory that all releases share")
	}
	lock, err := claim(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	q, err := dialBroker(ctx)
	if err != nil {
		return err
	}
	defer q.Close()
	return schedule(ctx, q, milliseconds("SHOP_TICK_MS", time.Second))
}

// claim takes the scheduler's lock, which ends with the file or the process.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(errors.New("TWO SCHEDULERS: another one holds the lock"), record(dir))
	}
	return nil, err
}

func record(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, violationsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s pid %d of release %s found another scheduler\n",
		time.Now().UTC().Format(time.RFC3339Nano), os.Getpid(), version("."))
	return err
}

func schedule(ctx context.Context, q *queue, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := q.put(fmt.Sprintf("report-%s-%d", version("."), n)); err != nil {
				return err
			}
		}
	}
}
