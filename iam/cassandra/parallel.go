package cassandra

import (
	"cmp"
	"context"
	"sync"
)

// maxParallel bounds the statements that one operation has under way.
const maxParallel = 8

// parallel calls fn with every item until it fails once or ctx ends, and returns
// that failure. It lets end what has begun: nobody can tell whether a write that
// is given up will come through all the same.
func parallel[T any](ctx context.Context, items []T, fn func(context.Context, T) error) error {
	var mu sync.Mutex
	var failed error // guarded by mu, and so are items
	take := func() (item T, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil || ctx.Err() != nil || len(items) == 0 {
			return item, false
		}
		item, items = items[0], items[1:]
		return item, true
	}
	var running sync.WaitGroup
	for range min(maxParallel, len(items)) {
		running.Go(func() {
			for item, ok := take(); ok; item, ok = take() {
				if err := fn(ctx, item); err != nil {
					mu.Lock()
					failed = cmp.Or(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	if failed == nil && len(items) > 0 {
		return context.Cause(ctx)
	}
	return failed
}
