// Package amqp carries messages over RabbitMQ (AMQP 0-9-1).
//
// It keeps a constant number of connections, channels and queues however many
// topics are in use, keeps publishing and consuming apart, heals by itself, and
// says what became of each request: answered, returned, lost with its lane, or
// interrupted. It refuses to retry, to wait for a broker that is away, and to look
// into messages. It is the only room that knows the AMQP library.
package amqp

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"sluice/bus"
	"sluice/pool"
)

// Bus implements bus.Bus. Make it with Open.
type Bus struct {
	// set once
	cfg        *Config
	replies    bus.Replies
	publishers []*publisher
	consumers  []*consumer
	bulk       *bulk
	echoes     *echoes
	seed       maphash.Seed
	cancel     context.CancelFunc
	running    sync.WaitGroup

	// declared has the exchanges that exist as far as we know.
	declared *xsync.MapOf[string, struct{}]
	messages atomic.Uint64 // of class flow so far
	closed   atomic.Bool
	deadline atomic.Int64 // of Close, in Unix nanoseconds

	mu            sync.Mutex
	subscriptions map[*subscription]struct{} // guarded by mu
}

var _ bus.Bus = (*Bus)(nil)

// Open checks cfg and starts connecting. It does not wait for the broker: Ready
// says when the bus works. replies hears what becomes of requests; nil discards
// that. Close ends all goroutines.
func Open(cfg Config, replies bus.Replies) (*Bus, error) {
	checked, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if replies == nil {
		replies = discard{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Bus{
		cfg: checked, replies: replies, cancel: cancel, echoes: newEchoes(), seed: maphash.MakeSeed(),
		declared:      xsync.NewMapOf[string, struct{}](),
		subscriptions: map[*subscription]struct{}{},
	}
	for i := range checked.ConsumeConnections {
		b.consumers = append(b.consumers, newConsumer(b, i))
	}
	for range checked.PublishConnections {
		b.publishers = append(b.publishers, newPublisher(b))
	}
	b.bulk = newBulk(b)
	b.running.Go(func() { b.bulk.run(ctx) })
	for _, c := range b.consumers {
		b.running.Go(func() { c.run(ctx) })
	}
	for _, p := range b.publishers {
		b.running.Go(func() { p.run(ctx) })
	}
	return b, nil
}

// publishSession returns the connection for an exchange, another one while that is
// away, or nil.
func (b *Bus) publishSession(hash uint64) *publishSession {
	n := uint64(len(b.publishers))
	for i := range n {
		if s := b.publishers[(hash/lanesPerConnection+i)%n].session.Load(); s != nil {
			return s
		}
	}
	return nil
}

// consumerOf returns the consumer that an exchange is bound at.
func (b *Bus) consumerOf(exchange string) *consumer {
	return b.consumers[maphash.String(b.seed, exchange)%uint64(len(b.consumers))]
}

// declare makes sure that an exchange exists, on a consume connection: those are
// never blocked, and a refusal costs nobody else anything.
func (b *Bus) declare(ctx context.Context, exchange string) error {
	if _, ok := b.declared.Load(exchange); ok {
		return nil
	}
	exchange = strings.Clone(exchange) // part of a borrowed message
	if err := b.consumerOf(exchange).topology.declare(ctx, exchange); err != nil {
		return err
	}
	b.declared.Store(exchange, struct{}{})
	return nil
}

// Refresh implements bus.Bus.
func (b *Bus) Refresh(ctx context.Context, topics ...bus.Topic) error {
	if b.closed.Load() {
		return bus.ErrClosed
	}
	declares := make([]chan error, len(topics))
	var binds []chan error
	for i, t := range topics {
		declares[i] = b.consumerOf(t.Exchange).topology.refresh(t.Exchange)
		binds = append(binds, b.rebind(t)...)
	}
	var failed []error
	for i, w := range declares {
		err := await(ctx, w)
		if err == nil {
			// The first publish need not ask again.
			b.declared.Store(topics[i].Exchange, struct{}{})
		}
		failed = append(failed, err)
	}
	for _, w := range binds {
		failed = append(failed, await(ctx, w))
	}
	return errors.Join(failed...)
}

// Ready implements bus.Bus.
func (b *Bus) Ready() error {
	if b.closed.Load() {
		return bus.ErrClosed
	}
	for _, p := range b.publishers {
		s := p.session.Load()
		if s == nil {
			return fmt.Errorf("%w: no publish connection: %w", bus.ErrUnavailable, p.link.reason())
		}
		if s.wire.blocked.Load() {
			return fmt.Errorf("%w: the broker has blocked publishers", bus.ErrBusy)
		}
	}
	if b.bulk.lane.Load() == nil {
		return fmt.Errorf("%w: no connection for bulk: %w", bus.ErrUnavailable, b.bulk.link.reason())
	}
	for _, c := range b.consumers {
		if err := c.ready(); err != nil {
			return err
		}
	}
	return nil
}

// Close implements bus.Bus. Calls that still wait are interrupted.
func (b *Bus) Close(ctx context.Context) error {
	if b.closed.Swap(true) {
		return nil
	}
	by, ok := ctx.Deadline()
	if !ok {
		by = time.Now().Add(connectTimeout)
	}
	// A broker that says nothing must not make Close itself late.
	by = by.Add(-min(closeGrace, time.Until(by)/4))
	b.deadline.Store(by.UnixNano())
	b.mu.Lock()
	open := make([]*subscription, 0, len(b.subscriptions))
	for s := range b.subscriptions {
		open = append(open, s)
	}
	b.mu.Unlock()
	var failed []error
	for _, s := range open {
		s.stop()
	}
	for _, s := range open {
		failed = append(failed, s.wait(ctx))
	}
	b.cancel()
	ended := make(chan struct{})
	go func() {
		b.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		failed = append(failed, fmt.Errorf("closing the message bus: %w", context.Cause(ctx)))
	}
	return errors.Join(failed...)
}

// closeBy is when a connection that is being closed must be gone: Close has time to
// write what is buffered, a connection that failed has not.
func (b *Bus) closeBy() time.Time {
	if d := b.deadline.Load(); d != 0 {
		return time.Unix(0, d)
	}
	return time.Now().Add(closeGrace)
}

// discard is the Replies of a bus whose owner makes no calls.
type discard struct{}

func (discard) Deliver(_ string, body *pool.Buffer) { body.Release() }
func (discard) Return(string)                       {}
func (discard) Lost(*bus.Lane)                      {}
func (discard) Interrupted()                        {}
