package amqp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

const defaultPrefetch = 64

// Subscribe implements bus.Bus. With a nil Handler it fails at once while the
// broker is away; with one it waits for the broker until ctx ends.
func (b *Bus) Subscribe(ctx context.Context, c bus.Consumer) (bus.Subscription, error) {
	if b.closed.Load() {
		return nil, bus.ErrClosed
	}
	if n := len(c.Topic.Exchange); n == 0 || n > 255 || len(queueName(c)) > 255 {
		return nil, fmt.Errorf("exchange or queue name of %d bytes, 1 to 255 are allowed", max(n, len(queueName(c))))
	}
	if c.Handler == nil {
		return b.subscribeReplies(ctx, c.Topic)
	}
	return b.subscribe(ctx, c)
}

// replySubscription is a share in the reply queue.
type replySubscription struct {
	topology *topology
	exchange string
	once     sync.Once
}

func (b *Bus) subscribeReplies(ctx context.Context, topic bus.Topic) (bus.Subscription, error) {
	if topic.Class != bus.Response {
		return nil, errors.New("a consumer of a " + topic.Class.String() + " topic needs a handler")
	}
	t := b.consumerOf(topic.Exchange).topology
	if err := t.want(ctx, topic.Exchange); err != nil {
		return nil, fmt.Errorf("binding %s: %w", topic.Exchange, err)
	}
	return &replySubscription{topology: t, exchange: topic.Exchange}, nil
}

// Close implements bus.Subscription. It does not wait for the broker.
func (s *replySubscription) Close(context.Context) error {
	s.once.Do(func() { s.topology.unwant(s.exchange) })
	return nil
}

// subscription is a consumer with a handler: a queue, a channel and a goroutine.
type subscription struct {
	// set once
	bus      *Bus
	consumer *consumer
	bus.Consumer
	quit  context.CancelFunc
	ended chan struct{} // the goroutine is gone
	begun chan error    // buffered: the outcome of the first attempt

	queue atomic.Pointer[string] // its present name, nil while there is none
}

func (b *Bus) subscribe(ctx context.Context, c bus.Consumer) (bus.Subscription, error) {
	if c.Prefetch <= 0 {
		c.Prefetch = defaultPrefetch
	}
	life, quit := context.WithCancel(context.Background())
	s := &subscription{
		bus: b, consumer: b.consumerOf(c.Topic.Exchange), Consumer: c, quit: quit,
		ended: make(chan struct{}), begun: make(chan error, 1),
	}
	b.mu.Lock()
	if b.closed.Load() {
		b.mu.Unlock()
		quit()
		return nil, bus.ErrClosed
	}
	b.subscriptions[s] = struct{}{}
	b.mu.Unlock()
	go s.run(life)
	if err := s.awaitBegin(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("subscribing to %s: %w", c.Topic.Exchange, err)
	}
	return s, nil
}

func (s *subscription) awaitBegin(ctx context.Context) error {
	select {
	case err := <-s.begun:
		return err
	case <-ctx.Done():
	}
	s.stop()
	<-s.ended
	return fmt.Errorf("%w: %w: %w", bus.ErrUnavailable, s.consumer.link.reason(), context.Cause(ctx))
}

// Close implements bus.Subscription. Unsettled deliveries go back to the queue. It
// waits for a running handler, so the handler itself must not call it.
func (s *subscription) Close(ctx context.Context) error {
	s.stop()
	return s.wait(ctx)
}

func (s *subscription) stop() { s.quit() }

func (s *subscription) wait(ctx context.Context) error {
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the subscription to %s: %w", s.Topic.Exchange, context.Cause(ctx))
	}
}

// run consumes over and over until the subscription is closed.
func (s *subscription) run(ctx context.Context) {
	defer close(s.ended)
	defer func() {
		s.bus.mu.Lock()
		delete(s.bus.subscriptions, s)
		s.bus.mu.Unlock()
	}()
	begun := false
	for ctx.Err() == nil {
		session, err := s.consumer.wait(ctx)
		if err == nil {
			err = s.consume(ctx, session, &begun)
		}
		if ctx.Err() != nil {
			break
		}
		if !begun && !session.conn.IsClosed() && !isNotFound(err) {
			s.begun <- err // what the broker refuses once it will refuse again
			return
		}
		s.bus.cfg.Logger.Warn("subscription interrupted", "topic", s.Topic.Exchange, "error", err)
		pause(ctx, minBackoff+rand.N(maxBackoff-minBackoff))
	}
	if !begun {
		s.begun <- bus.ErrClosed
	}
}

// consume is one life of the subscription's channel.
func (s *subscription) consume(ctx context.Context, session *consumeSession, begun *bool) error {
	passed := s.consumer.link.guard()
	defer func() { passed() }()
	ch, err := session.conn.Channel()
	if err != nil {
		return err
	}
	channel := &settling{ch: ch}
	defer func() {
		passed = s.consumer.link.guard()
		channel.end()
		_ = ch.Close()
	}()
	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	deliveries, err := s.open(ch)
	if err != nil {
		return err
	}
	passed()
	defer s.queue.Store(nil)
	if !*begun {
		*begun = true
		s.begun <- nil
	} else if s.Rebound != nil {
		s.Rebound()
	}
	for {
		select {
		case d, ok := <-deliveries:
			if ok && ctx.Err() == nil {
				s.handle(channel, &d)
				continue
			}
			if !ok {
				return ended(closed)
			}
		case <-ctx.Done():
		}
		return ctx.Err()
	}
}

// ended says why a consumer got no more deliveries.
func ended(closed chan *amqp091.Error) error {
	select {
	case err := <-closed:
		return lost(err)
	default:
		return errors.New("the queue was deleted")
	}
}

// open declares what the class prescribes (bus.md section 2) and starts consuming.
func (s *subscription) open(ch *amqp091.Channel) (<-chan amqp091.Delivery, error) {
	if err := declareExchange(ch, s.Topic.Exchange, false); err != nil {
		return nil, err
	}
	name := queueName(s.Consumer)
	private := name == ""
	durable := !private && s.Topic.Class == bus.Flow
	var args amqp091.Table
	if private && s.MaxBytes > 0 {
		args = amqp091.Table{"x-max-length-bytes": int64(s.MaxBytes), "x-overflow": "drop-head"}
	}
	q, err := ch.QueueDeclare(name, durable, private, private, false, args)
	if err != nil {
		return nil, err
	}
	if err = ch.QueueBind(q.Name, q.Name, s.Topic.Exchange, false, nil); err != nil {
		return nil, err
	}
	if err = ch.Qos(s.Prefetch, 0, false); err != nil {
		return nil, err
	}
	deliveries, err := ch.Consume(q.Name, "", false, false, false, false, nil)
	s.queue.Store(&q.Name)
	return deliveries, err
}

// queueName is the name of the queue that c shares, empty for one of its own.
func queueName(c bus.Consumer) string {
	if !c.Topic.Shared() || c.Name == "" {
		return ""
	}
	return c.Topic.Queue(c.Name)
}

// settling is a channel that deliveries may be settled on until it ends. What
// reached the broker behind the end of a channel would cost the connection, and
// with it every other subscription.
type settling struct {
	mu    sync.Mutex
	ch    *amqp091.Channel
	ended bool
}

func (c *settling) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
}

func (c *settling) settle(tag uint64, requeue bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended: // the broker has the message back
	case requeue:
		_ = c.ch.Nack(tag, false, true)
	default:
		_ = c.ch.Ack(tag, false)
	}
}

// settlement is the Token of a delivery.
type settlement struct {
	channel *settling
	shared  bool
	done    atomic.Bool
}

func (s *subscription) handle(channel *settling, d *amqp091.Delivery) {
	id, _ := d.Headers["id"].(string)
	out := &bus.Delivery{
		ID: id, Body: d.Body, Redelivered: d.Redelivered, Tag: d.DeliveryTag,
		Settle: settle, Token: &settlement{channel: channel, shared: s.Topic.Shared()},
	}
	defer func() {
		// A message that makes its handler panic would do so again.
		if r := recover(); r != nil {
			handlerPanics.Inc()
			s.bus.cfg.Logger.Error("handler panicked", "topic", s.Topic.Exchange, "panic", r, "stack", string(debug.Stack()))
			settle(out, false)
		}
	}()
	s.Handler(out)
}

// settle is bus.Delivery.Settle. A second call does nothing, and neither does one
// that comes after the channel is gone.
func settle(d *bus.Delivery, requeue bool) {
	s := d.Token.(*settlement)
	if !s.done.Swap(true) {
		s.channel.settle(d.Tag, requeue && s.shared)
	}
}

// rebind binds the queues of the subscriptions to topic again.
func (b *Bus) rebind(topic bus.Topic) (waits []chan error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subscriptions {
		if q := s.queue.Load(); s.Topic == topic && q != nil {
			waits = append(waits, s.consumer.topology.rebind(topic.Exchange, *q))
		}
	}
	return waits
}
