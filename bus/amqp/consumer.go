package amqp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
	"sluice/pool"
)

const (
	// A reply is acknowledged with up to ackEvery-1 others, at the latest after
	// ackAfter.
	ackEvery = 256
	ackAfter = 5 * time.Millisecond
)

// consumer is one connection that only consumes: replies through one queue, the
// subscriptions that were given to it, and the topology channel.
type consumer struct {
	// set once
	bus      *Bus
	index    int
	link     *link
	topology *topology

	session atomic.Pointer[consumeSession] // nil while disconnected
	// replied is when replies were last acknowledged, in Unix nanoseconds.
	replied atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when session changes; guarded by mu
}

// consumeSession is one life of a consumer's connection.
type consumeSession struct {
	conn     *amqp091.Connection
	exchange string           // the private exchange that feeds the reply queue
	queue    string           // the reply queue
	topology *amqp091.Channel // the first channel for declaring and binding
}

func newConsumer(b *Bus, index int) *consumer {
	c := &consumer{bus: b, index: index, link: newLink(b.cfg, "consume", b.closeBy), changed: make(chan struct{})}
	c.topology = newTopology(c)
	return c
}

func (c *consumer) run(ctx context.Context) {
	c.link.run(ctx, c.serve)
	c.link.down.Store(true)
	c.topology.end(bus.ErrClosed)
}

// ready tells why not every wanted reply would arrive.
func (c *consumer) ready() error {
	if c.session.Load() == nil {
		return fmt.Errorf("%w: no consume connection: %w", bus.ErrUnavailable, c.link.reason())
	}
	if n := c.topology.missing.Load(); n > 0 {
		return fmt.Errorf("%w: %d reply bindings are still to be restored", bus.ErrUnavailable, n)
	}
	return nil
}

// lastReply is when something last came out of the reply queue.
func (c *consumer) lastReply() time.Time { return time.Unix(0, c.replied.Load()) }

func (c *consumer) set(s *consumeSession) {
	c.mu.Lock()
	c.session.Store(s)
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
}

// wait returns the session once there is one.
func (c *consumer) wait(ctx context.Context) (*consumeSession, error) {
	for {
		c.mu.Lock()
		s, changed := c.session.Load(), c.changed
		c.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: no consume connection: %w", bus.ErrUnavailable, c.link.reason())
		}
	}
}

// serve is the life of one connection.
func (c *consumer) serve(ctx context.Context, a *attachment) error {
	s := &consumeSession{conn: a.conn}
	passed := c.link.guard()
	stream, err := c.openReplies(s)
	if err == nil {
		s.topology, err = a.conn.Channel()
	}
	passed()
	if err != nil {
		return fmt.Errorf("opening the reply queue: %w", err)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		stream.run()
	}()
	c.topology.begin(s)
	c.set(s)
	c.link.down.Store(false)
	err = c.watch(ctx, a, drained)

	// From here on no request may be sent, then those that were are told.
	c.link.down.Store(true)
	c.set(nil)
	c.topology.end(fmt.Errorf("%w: consume connection lost", bus.ErrUnavailable))
	a.close()
	<-drained
	c.bus.replies.Interrupted()
	return err
}

// watch does the topology's work until the connection is of no more use.
func (c *consumer) watch(ctx context.Context, a *attachment, drained chan struct{}) error {
	for {
		select {
		case <-c.topology.wake:
			if err := c.topology.work(ctx); err != nil {
				return err
			}
		case _, ok := <-a.blocked: // does not concern who does not publish
			if !ok {
				a.blocked = nil
			}
		case <-drained:
			return errors.New("the broker ended the reply queue")
		case err := <-a.closed:
			return lost(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// replyStream is one reply queue being read.
type replyStream struct {
	consumer   *consumer
	ch         *amqp091.Channel
	deliveries <-chan amqp091.Delivery
}

// openReplies makes the private exchange and the reply queue behind it, with a
// name that nobody used before: what is left of an earlier life stays apart.
func (c *consumer) openReplies(s *consumeSession) (*replyStream, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, err
	}
	s.exchange = "sluice.replies." + rand.Text()
	if err = ch.ExchangeDeclare(s.exchange, amqp091.ExchangeFanout, false, true, false, false, nil); err != nil {
		return nil, err
	}
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, err
	}
	if err = ch.QueueBind(q.Name, "", s.exchange, false, nil); err != nil {
		return nil, err
	}
	if err = ch.Qos(c.bus.cfg.Prefetch, 0, false); err != nil {
		return nil, err
	}
	s.queue = q.Name
	deliveries, err := ch.Consume(q.Name, "", false, true, false, false, nil)
	return &replyStream{consumer: c, ch: ch, deliveries: deliveries}, err
}

// run hands over replies until the queue, the channel or the connection ends.
func (r *replyStream) run() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	var last uint64
	waiting := 0
	for {
		select {
		case d, ok := <-r.deliveries:
			if !ok {
				return
			}
			r.take(&d)
			last = d.DeliveryTag
			waiting++
			if waiting == 1 {
				timer.Reset(ackAfter)
			}
			if waiting < ackEvery {
				continue
			}
		case <-timer.C:
		}
		timer.Stop()
		waiting = 0
		r.consumer.replied.Store(time.Now().UnixNano())
		// A channel that cannot ack is about to end the loop.
		_ = r.ch.Ack(last, true)
	}
}

func (r *replyStream) take(d *amqp091.Delivery) {
	id, ok := d.Headers["id"].(string)
	if ok {
		replyMessages.Inc()
		r.consumer.bus.replies.Deliver(id, pool.Wrap(d.Body))
		return
	}
	if !r.consumer.bus.echoes.take(r.consumer.index, d) {
		replyWithoutID.Inc()
	}
}
