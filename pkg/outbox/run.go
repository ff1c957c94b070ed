package outbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pollEvery bounds how late a job begins that this process did not put.
const pollEvery = time.Second

// Run works at due jobs until ctx ends; then running handlers get a few seconds to finish.
// Each kind has workers of its own, so that slow sites do not hold up the mail.
func (q *Queue) Run(ctx context.Context) error {
	// A handler that runs when the server stops is not cut off in the middle: a mail half sent is sent twice.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var kinds sync.WaitGroup
	wakers := map[string]chan struct{}{}
	for _, kind := range q.kinds() {
		wake := make(chan struct{}, 1)
		wakers[kind] = wake
		kinds.Go(func() { q.runKind(ctx, work, kind, wake) })
	}
	ticks := time.NewTicker(pollEvery)
	defer ticks.Stop()
	for {
		for _, wake := range wakers {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		select {
		case <-ctx.Done():
			timer := time.AfterFunc(graceFor, stop)
			defer timer.Stop()
			kinds.Wait()
			return nil
		case <-ticks.C:
		case <-q.wake:
		}
	}
}

// runKind leases as many jobs as workers are free, each time it is woken or a worker becomes free while
// there may be more.
func (q *Queue) runKind(ctx, work context.Context, kind string, wake <-chan struct{}) {
	var workers sync.WaitGroup
	defer workers.Wait()
	atOnce := q.handler(kind).atOnce
	ended := make(chan struct{}, atOnce)
	free, more := atOnce, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			free++
			if !more {
				continue
			}
		case <-wake:
		}
		if free == 0 {
			more = true
			continue
		}
		wanted := free
		rows, lease, err := q.lease(ctx, []string{kind}, wanted)
		if err != nil {
			q.failed(ctx, kind, err)
			continue
		}
		more = len(rows) == wanted
		free -= len(rows)
		for _, r := range rows {
			workers.Go(func() {
				if err := q.work(work, r, lease); err != nil {
					q.failed(ctx, kind, err)
				}
				ended <- struct{}{}
			})
		}
	}
}

// failed logs that the database refused; the next poll tries again.
func (q *Queue) failed(ctx context.Context, kind string, err error) {
	if ctx.Err() == nil {
		q.log.ErrorContext(ctx, "outbox", "kind", kind, "error", err.Error())
	}
}

// RunDue works at all jobs that are due, one after the other, and tells how many attempts it made: what a
// test or a command calls instead of Run.
func (q *Queue) RunDue(ctx context.Context) (int, error) {
	total := 0
	for {
		rows, lease, err := q.lease(ctx, q.kinds(), 1)
		if err != nil || len(rows) == 0 {
			return total, err
		}
		for _, r := range rows {
			total++
			if err := q.work(ctx, r, lease); err != nil {
				return total, errors.Join(errors.New("work at due jobs"), err)
			}
		}
	}
}
