package memory

import (
	"slices"
	"sync/atomic"

	"sluice/bus"
)

// exchange is what a topic is bound to. Publishers read it without a lock; it
// is changed under Bus.mu.
type exchange struct {
	queues atomic.Pointer[[]*queue]
	// streams counts the subscriptions that feed Bus.replies.
	streams atomic.Int32
}

// unbound stands for every topic that nobody has subscribed to.
var unbound = &exchange{}

// bound returns the queues that get a copy of each message. It must not be
// changed.
func (e *exchange) bound() []*queue {
	if p := e.queues.Load(); p != nil {
		return *p
	}
	return nil
}

// queue returns the queue that c consumes from and binds it if it is new.
// Bus.mu is held.
func (e *exchange) queue(c bus.Consumer, l limits) *queue {
	name := c.Name
	if !c.Topic.Shared() {
		name = ""
	}
	if name != "" {
		for _, q := range e.bound() {
			if q.name == name {
				return q
			}
		}
	}
	q := newQueue(name, l)
	if name == "" {
		q.maxBytes = c.MaxBytes
	}
	queues := append(slices.Clone(e.bound()), q)
	e.queues.Store(&queues)
	return q
}

// unbind takes q away from the publishers. Bus.mu is held.
func (e *exchange) unbind(q *queue) {
	queues := slices.DeleteFunc(slices.Clone(e.bound()), func(other *queue) bool { return other == q })
	e.queues.Store(&queues)
}
