// Package memory is a message bus inside one process.
//
// It behaves like the broker that bus/amqp talks to: the same fanout, the same
// competing consumers, the same losses where nothing is bound. What differs is
// said here:
//
//   - Replies go from the goroutine that publishes them straight to the
//     bus.Replies given to New; that never waits.
//   - Queues are bounded. A request or flow message that finds its queue full
//     waits for room until its Expiration or its context ends, and then fails
//     with bus.ErrBusy. A reply or signal that finds a subscriber's queue full
//     is dropped for that subscriber and counted. So are the oldest messages of
//     a queue that has a bound of its own (Consumer.MaxBytes).
//   - Nothing survives the process, and Refresh has nothing to do.
//
// Publishing and delivering allocate nothing once the pools are warm.
package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"

	"sluice/bus"
	"sluice/pool"
)

// Bus implements bus.Bus. Make it with New.
type Bus struct {
	// set once
	replies  bus.Replies
	limits   limits
	done     chan struct{}
	settling *settling

	closed    atomic.Bool
	exchanges *xsync.MapOf[bus.Topic, *exchange]

	// mu guards what is bound to what. Publishing does not take it.
	mu   sync.Mutex
	subs map[*subscription]struct{}
}

var _ bus.Bus = (*Bus)(nil)

// limits bounds one queue.
type limits struct {
	messages int
	bytes    int
}

var defaultLimits = limits{messages: 65_536, bytes: 256 << 20}

// New returns a bus that reports to replies; nil discards what it would report.
// Close ends its goroutines.
func New(replies bus.Replies) *Bus { return newLimited(replies, defaultLimits) }

func newLimited(replies bus.Replies, l limits) *Bus {
	if replies == nil {
		replies = discard{}
	}
	return &Bus{
		replies:   replies,
		limits:    l,
		done:      make(chan struct{}),
		settling:  newSettling(),
		exchanges: xsync.NewMapOf[bus.Topic, *exchange](),
		subs:      map[*subscription]struct{}{},
	}
}

// Publish implements bus.Bus. The Receipt is always zero: nothing is lost on
// the way.
func (b *Bus) Publish(ctx context.Context, m *bus.Message) (bus.Receipt, error) {
	if b.closed.Load() {
		return bus.Receipt{}, bus.ErrClosed
	}
	e, ok := b.exchanges.Load(m.To)
	if !ok {
		e = unbound
	}
	if m.To.Shared() {
		return bus.Receipt{}, b.enqueue(ctx, e, m)
	}
	b.broadcast(e, m)
	return bus.Receipt{}, nil
}

// enqueue puts m in each named or private queue of e.
func (b *Bus) enqueue(ctx context.Context, e *exchange, m *bus.Message) error {
	queues := e.bound()
	if len(queues) == 0 {
		if m.To.Class == bus.Flow {
			return fmt.Errorf("%w: %s", bus.ErrUnroutable, m.To.Exchange)
		}
		b.replies.Return(m.ID)
		return nil
	}
	for i, q := range queues {
		if err := q.offer(ctx, m, b.done); err != nil {
			if i > 0 {
				err = fmt.Errorf("%w: not in every queue of %s: %w", bus.ErrOutcomeUnknown, m.To.Exchange, err)
			}
			return err
		}
	}
	return nil
}

// broadcast hands m to every subscriber of e. It never waits.
func (b *Bus) broadcast(e *exchange, m *bus.Message) {
	for _, q := range e.bound() {
		if d := newDelivery(q, m); !q.push(d) {
			d.recycle()
			droppedOverflow.Inc()
		}
	}
	if e.streams.Load() > 0 {
		body := pool.Acquire(len(m.Body))
		body.B = append(body.B, m.Body...)
		b.replies.Deliver(m.ID, body)
	}
}

// Subscribe implements bus.Bus. It does not wait. The handler runs on one
// goroutine that ends with the subscription.
func (b *Bus) Subscribe(_ context.Context, c bus.Consumer) (bus.Subscription, error) {
	if c.Handler == nil && c.Topic.Class != bus.Response {
		return nil, errors.New("a consumer of a " + c.Topic.Class.String() + " topic needs a handler")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return nil, bus.ErrClosed
	}
	e, ok := b.exchanges.Load(c.Topic)
	if !ok {
		e = &exchange{}
		b.exchanges.Store(c.Topic, e)
	}
	if c.Handler == nil {
		e.streams.Add(1)
		return &stream{bus: b, topic: c.Topic}, nil
	}
	s := newSubscription(b, c, e.queue(c, b.limits))
	b.subs[s] = struct{}{}
	s.own()
	go s.run()
	return s, nil
}

// Refresh implements bus.Bus. Nobody can delete anything here, so it only says
// whether the bus is open.
func (b *Bus) Refresh(context.Context, ...bus.Topic) error { return b.Ready() }

// Ready implements bus.Bus.
func (b *Bus) Ready() error {
	if b.closed.Load() {
		return bus.ErrClosed
	}
	return nil
}

// Interrupt does what losing and regaining the connection to a broker would
// do: unsettled deliveries go back to their queues, replies and signals that
// nobody has read yet are gone, what is not settled is unknown, and
// Replies.Interrupted is called. It is here so
// that whatever uses a bus can be tested without a broker.
func (b *Bus) Interrupt() {
	var rebound []func()
	b.mu.Lock()
	for s := range b.subs {
		s.queue.interrupt(s)
		if s.rebound != nil {
			rebound = append(rebound, s.rebound)
		}
	}
	b.mu.Unlock()
	b.settling.interrupt()
	b.replies.Interrupted()
	for _, f := range rebound {
		f()
	}
}

// Close implements bus.Bus. It waits, within ctx, for running handlers and until
// everybody is told what became of their messages.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closed.Swap(true) {
		b.mu.Unlock()
		return nil
	}
	close(b.done)
	subs := b.subs
	b.subs = map[*subscription]struct{}{}
	b.mu.Unlock()
	for s := range subs {
		s.queue.leave(s)
	}
	for s := range subs {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	return b.settling.wait(ctx)
}

// remove forgets a binding of topic, and the topic with its last one.
func (b *Bus) remove(topic bus.Topic, unbind func(e *exchange)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.exchanges.Load(topic)
	if !ok {
		return
	}
	unbind(e)
	if e.streams.Load() == 0 && len(e.bound()) == 0 {
		b.exchanges.Delete(topic)
	}
}

// discard is the Replies of a bus whose owner makes no calls.
type discard struct{}

func (discard) Deliver(_ string, body *pool.Buffer) { body.Release() }
func (discard) Return(string)                       {}
func (discard) Lost(*bus.Lane)                      {}
func (discard) Interrupted()                        {}
