package main

import (
	"context"
	"fmt"
	"time"
)

// runWorker does one job after the other. Told to stop, it takes no new one
// and finishes the one it has, however long that takes; the configuration
// gives it that time with `gracefulStopMs: indefinite`.
func runWorker(ctx context.Context) error {
	q, err := dialBroker(ctx)
	if err != nil {
		return err
	}
	defer q.Close()
	return work(ctx, q, milliseconds("SHOP_JOB_MS", time.Second))
}

func work(ctx context.Context, q *queue, effort time.Duration) error {
	for ctx.Err() == nil {
		job, ok, err := q.get(ctx)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		time.Sleep(effort) // the work itself
		if err := q.done(); err != nil {
			return err
		}
		fmt.Println("finished", job)
	}
	return nil
}
