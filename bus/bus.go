// Package bus is the seam between Sluice and whatever carries its messages.
//
// A bus moves opaque bodies between topics and hands back correlation ids; it
// knows nothing of JSON, kinds or workspaces. Two implementations exist: bus/amqp
// (RabbitMQ) and bus/memory (one process). Both pass the suite in bus/bustest.
package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sluice/pool"
)

// Errors of Publish and Subscribe. Implementations wrap them; test with errors.Is.
var (
	// ErrUnavailable: the broker cannot be reached now. Nothing was sent.
	ErrUnavailable = errors.New("message bus unavailable")
	// ErrBusy: the broker has blocked publishers, or the write buffer is full.
	// Nothing was sent.
	ErrBusy = errors.New("message bus busy")
	// ErrTooLarge: the body is above the configured limit. Nothing was sent.
	ErrTooLarge = errors.New("message too large for the bus")
	// ErrUnroutable: no queue is bound to the topic. The message is gone.
	ErrUnroutable = errors.New("no queue is bound to the topic")
	// ErrOutcomeUnknown: sent, but the broker never said whether it kept the
	// message. It may have been delivered.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("message bus closed")
)

// Message is one message to publish. It is borrowed: an implementation copies
// what it needs before Publish returns.
type Message struct {
	// To decides everything the broker sees but the body: exchange, delivery
	// mode, mandatory flag and confirms (bus.md sections 2 and 3).
	To Topic
	// ReplyTo, for a request, is the response topic whose replies go to Replies:
	// it is sent only while that one is bound. The zero Topic means: only while all
	// response topics subscribed to are, which takes longer after a reconnect.
	ReplyTo Topic
	// ID becomes the `id` header (bus.md section 5). Required for requests and
	// replies, at most 255 bytes; empty means no header.
	ID string
	// Body is one JSON value; the bus does not look at it.
	Body []byte
	// Expiration drops the message unread after that long, rounded down to whole
	// milliseconds but at least one. Zero means never. Ignored for flow topics:
	// work is never thrown away for being late.
	Expiration time.Duration
}

// Replies is told what becomes of requests. Its methods are called from the
// goroutines that read the broker's sockets: they must not block and may be
// called concurrently.
type Replies interface {
	// Deliver takes a reply that carries the header id. It owns body. The id
	// is valid only during the call and may be anything, foreign ids included.
	Deliver(id string, body *pool.Buffer)
	// Return says that the request with this id reached no queue.
	Return(id string)
	// Lost says that lane is gone: requests published on it after the last one
	// it accounts for may never have reached the broker.
	Lost(lane *Lane)
	// Interrupted says that replies may have been lost: every request sent so
	// far that is still waiting would wait for nothing.
	Interrupted()
}

// Lane is one life of one publishing channel. The broker handles a channel's
// messages in order, so an answer to one request accounts for all before it.
type Lane struct {
	accounted atomic.Uint64
	lost      atomic.Bool
}

// Account records that the request with this number was seen by the broker.
func (l *Lane) Account(seq uint64) {
	for {
		old := l.accounted.Load()
		if seq <= old || l.accounted.CompareAndSwap(old, seq) {
			return
		}
	}
}

// Accounted returns the highest number recorded.
func (l *Lane) Accounted() uint64 { return l.accounted.Load() }

// MarkLost is called by the bus before it reports the lane to Replies.Lost.
func (l *Lane) MarkLost() { l.lost.Store(true) }

// Lost reports whether the lane is gone.
func (l *Lane) Lost() bool { return l.lost.Load() }

// Receipt says where in a lane a request went. The zero Receipt is what
// implementations without lanes return.
type Receipt struct {
	Lane *Lane
	Seq  uint64
}

// Delivery is one message handed to a Handler. ID and Body are borrowed until
// the delivery is settled.
type Delivery struct {
	// ID is the `id` header, empty when there is none or it is not text.
	ID string
	// Body is the message as it came.
	Body []byte
	// Redelivered tells that an earlier delivery of it was not settled.
	Redelivered bool
	// Settle is set by the implementation and called through Ack and Requeue.
	Settle func(d *Delivery, requeue bool)
	// Token belongs to the implementation.
	Token any
	// Tag belongs to the implementation.
	Tag uint64
}

// Ack settles the delivery: the message is done with. Exactly one of Ack and
// Requeue must be called, from any goroutine; d must not be used afterwards.
func (d *Delivery) Ack() { d.Settle(d, false) }

// Requeue settles the delivery by giving the message back for redelivery.
func (d *Delivery) Requeue() { d.Settle(d, true) }

// Handler receives deliveries, one at a time per subscription, in queue order.
// For flow and request topics it (or a goroutine it starts) settles each one;
// response and notify deliveries must be settled too, where Requeue counts as
// Ack. It may keep d until then.
type Handler func(d *Delivery)

// Consumer describes a subscription.
type Consumer struct {
	Topic Topic
	// Name is the subscription name of flow and request topics; consumers with
	// one name compete. Ignored for the other classes. Empty on a flow or
	// request topic means a private queue that vanishes with the subscription.
	Name string
	// Prefetch bounds the unsettled deliveries; 0 means 64.
	Prefetch int
	// MaxBytes, if positive, bounds the bodies that wait in a queue of the
	// consumer's own: beyond it the oldest are dropped, publishers never wait.
	// Ignored for named queues, which others declare without a bound.
	MaxBytes int
	// Handler gets the deliveries. A nil Handler is allowed for response topics
	// only: replies then go to the Replies that the bus was made with, through
	// the one reply queue that all such subscriptions share. Those are counted:
	// subscribing twice to a topic needs two Closes.
	Handler Handler
	// Rebound, if not nil, is called each time the Handler's queue was bound anew
	// after a loss: response and notify messages published in between may have
	// been missed. It must not block.
	Rebound func()
}

// Subscription is a running Consumer. It survives reconnects.
type Subscription interface {
	// Close ends the subscription: after it returns the Handler is not called
	// again. Named queues stay, deliveries not settled yet go back to them, and
	// settling those later does no harm. Safe to call twice.
	Close(ctx context.Context) error
}

// Settler is told what became of messages that were published with PublishAsync.
type Settler interface {
	// Settled is called once for each message that PublishAsync took, with its
	// token: nil when it is in a queue, ErrUnroutable, or ErrOutcomeUnknown. It is
	// called from a goroutine of the bus, possibly before PublishAsync returns, and
	// must not block: others wait behind it.
	Settled(token uint64, err error)
}

// Bus is a connection to the message bus. All methods may be called
// concurrently.
type Bus interface {
	// Publish hands m over. What it promises depends on the class of m.To:
	//
	//   - Request: nil means written to the broker's connection while a reply
	//     queue was bound; everything later is reported to Replies. It does not
	//     wait for the broker, except to declare an exchange on first use.
	//   - Flow: nil means that the broker has the message in a queue. It waits
	//     for that until ctx ends, then fails with ErrOutcomeUnknown.
	//   - Response, Notify: nil means written to the broker's connection.
	//
	// Messages published one after the other to a flow, response or notify topic
	// keep their order. Requests need not.
	Publish(ctx context.Context, m *Message) (Receipt, error)
	// PublishAsync hands m, which must be of class Flow, over for work in bulk: it
	// returns once the message is on its way, and s is told later what became of
	// it. When too much is on its way, or the broker takes nothing, it waits until
	// ctx ends and fails with ErrBusy. After an error nothing was sent and s is
	// not told. What one goroutine publishes keeps its order and is settled in
	// that order. Bulk never delays what Publish sends.
	PublishAsync(ctx context.Context, m *Message, s Settler, token uint64) error
	// Subscribe returns once the consumer's queue is bound, so that a reply to a
	// request published afterwards cannot be missed.
	Subscribe(ctx context.Context, c Consumer) (Subscription, error)
	// Refresh makes sure of topics whose exchange somebody may have deleted and
	// made again: it declares them and binds again what this process had bound.
	Refresh(ctx context.Context, topics ...Topic) error
	// Ready returns nil when requests can be published and their replies
	// received, else why not.
	Ready() error
	// Close stops consuming, writes what is buffered, waits for a while until what
	// was published in bulk is settled, and disconnects. It is bounded by ctx and
	// may be called once.
	Close(ctx context.Context) error
}
