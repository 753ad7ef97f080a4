package memory

import (
	"context"
	"sync"

	"sluice/bus"
)

// subscription is a consumer with a handler.
type subscription struct {
	// set once
	bus      *Bus
	topic    bus.Topic
	shared   bool
	queue    *queue
	handler  bus.Handler
	rebound  func() // may be nil
	prefetch int
	ended    chan struct{}

	closing sync.Once

	// guarded by queue.mu
	held list // delivered and not settled
	left bool
}

func newSubscription(b *Bus, c bus.Consumer, q *queue) *subscription {
	s := &subscription{
		bus: b, topic: c.Topic, shared: c.Topic.Shared(), queue: q,
		handler: c.Handler, rebound: c.Rebound, prefetch: c.Prefetch, ended: make(chan struct{}),
	}
	if s.prefetch <= 0 {
		s.prefetch = 64
	}
	return s
}

// own tells a queue without a name whose it is.
func (s *subscription) own() {
	if s.queue.name != "" {
		return
	}
	s.queue.mu.Lock()
	s.queue.owner = s
	s.queue.mu.Unlock()
}

// free returns how many messages it may take at once. queue.mu is held.
func (s *subscription) free() int {
	if s == nil {
		return 0
	}
	return s.prefetch - s.held.len
}

// run is the subscription's goroutine. Close or Bus.Close ends it.
func (s *subscription) run() {
	defer close(s.ended)
	for d := s.queue.next(s); d != nil; d = s.queue.next(s) {
		s.handler(&d.Delivery)
	}
}

// Close implements bus.Subscription. It waits, within ctx, for the handler to
// return, so the handler itself must not call it.
func (s *subscription) Close(ctx context.Context) error {
	s.closing.Do(func() {
		s.bus.mu.Lock()
		delete(s.bus.subs, s)
		s.bus.mu.Unlock()
		if s.queue.name == "" {
			s.bus.remove(s.topic, func(e *exchange) { e.unbind(s.queue) })
		}
		s.queue.leave(s)
	})
	return s.wait(ctx)
}

func (s *subscription) wait(ctx context.Context) error {
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stream is a subscription to a response topic that feeds Bus.replies.
type stream struct {
	bus     *Bus
	topic   bus.Topic
	closing sync.Once
}

// Close implements bus.Subscription.
func (s *stream) Close(context.Context) error {
	s.closing.Do(func() { s.bus.remove(s.topic, func(e *exchange) { e.streams.Add(-1) }) })
	return nil
}
