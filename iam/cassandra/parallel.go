package cassandra

import (
	"context"
	"sync"
)

// maxParallel bounds the statements that one operation has under way.
const maxParallel = 8

// parallel calls fn with every item, and returns the first failure, which ends
// the others.
func parallel[T any](ctx context.Context, items []T, fn func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var running sync.WaitGroup
	for range min(maxParallel, len(items)) {
		running.Go(func() {
			for item := range next {
				if ctx.Err() != nil {
					continue
				}
				if err := fn(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, item := range items {
		next <- item
	}
	close(next)
	running.Wait()
	return context.Cause(ctx)
}
