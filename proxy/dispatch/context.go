package dispatch

import (
	"context"
	"sync"
	"time"
)

// callContext is a context that ends at a deadline or when the client leaves.
// It lives in a slot and is used again, because a context of the standard
// library costs allocations that few calls need: only when the bus has to wait
// for something, and asks for Done, is one made.
type callContext struct {
	mu       sync.Mutex
	gone     <-chan struct{}
	deadline time.Time
	failed   error // why it ended early
	real     context.Context
	cancel   context.CancelCauseFunc
}

// newCallContext returns a context for one message. Release must follow.
func newCallContext(w *wait) *callContext {
	return &callContext{deadline: w.next(time.Now()), gone: w.gone}
}

// reset begins a use. Release must follow.
func (c *callContext) reset(deadline time.Time, gone <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.gone, c.failed = deadline, gone, nil
}

// fail ends the context with a cause of its own.
func (c *callContext) fail(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = cause
	if c.cancel != nil {
		c.cancel(cause)
	}
}

// release ends the use, and what Done has started.
func (c *callContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel(nil)
	}
	c.gone, c.real, c.cancel = nil, nil, nil
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline, true
}

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		ctx, cancel := context.WithCancelCause(context.Background())
		ctx, stop := context.WithDeadline(ctx, c.deadline)
		c.real = ctx
		c.cancel = func(cause error) {
			cancel(cause)
			stop()
		}
		switch {
		case c.failed != nil:
			cancel(c.failed)
		case c.gone != nil:
			go watch(ctx, c.gone, cancel)
		}
	}
	return c.real.Done()
}

// watch ends with ctx, at the latest in release.
func watch(ctx context.Context, gone <-chan struct{}, cancel context.CancelCauseFunc) {
	select {
	case <-gone:
		cancel(ErrGone)
	case <-ctx.Done():
	}
}

// Err implements context.Context.
func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
		return c.real.Err()
	case c.failed != nil:
		return context.Canceled
	}
	select {
	case <-c.gone:
		return context.Canceled
	default:
	}
	if !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. It has none of its own; the standard library
// asks for its own through it.
func (c *callContext) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		return nil
	}
	return c.real.Value(key)
}
