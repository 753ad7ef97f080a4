package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// confirmLane is a publishing channel for class flow: in confirm mode, with a
// bounded number of messages that the broker has not answered for. When the broker
// closes its channel, it goes on with a new one.
type confirmLane struct {
	// set once
	bus  *Bus
	conn *amqp091.Connection
	ctx  context.Context // ends with the connection
	size int
	// ended is closed when everything is settled after the end of the connection.
	ended chan struct{}
	// window is given back when the broker has answered, not when the publisher
	// gives up, so that ring and listener always suffice.
	window *bus.Window
	ring   *ring

	writing sync.Mutex
	ch      *amqp091.Channel // nil while down; guarded by writing
	name    messageName      // of the message being written; guarded by writing
}

// ears are the listeners of one channel.
type ears struct {
	ch      *amqp091.Channel
	returns chan amqp091.Return
	closed  chan *amqp091.Error
}

func newConfirmLane(ctx context.Context, b *Bus, conn *amqp091.Connection, messages, bytes int) *confirmLane {
	return &confirmLane{
		bus: b, conn: conn, ctx: ctx, size: messages, ended: make(chan struct{}),
		window: bus.NewWindow(messages, bytes), ring: newRing(messages),
	}
}

func (l *confirmLane) open() (e ears, err error) {
	ch, err := l.conn.Channel()
	if err != nil {
		return e, err
	}
	if err = ch.Confirm(false); err != nil {
		return e, err
	}
	e = ears{
		ch:      ch,
		returns: ch.NotifyReturn(make(chan amqp091.Return, l.size+1)),
		closed:  ch.NotifyClose(make(chan *amqp091.Error, 1)),
	}
	l.writing.Lock()
	l.ch = ch
	l.window.Open(bus.Down)
	l.writing.Unlock()
	return e, nil
}

// run settles what was published until the connection ends.
func (l *confirmLane) run(e ears) {
	defer close(l.ended)
	h := &hearing{lane: l, gone: map[uint64]struct{}{}}
	for {
		h.ears = e
		why := h.listen()
		l.end(why)
		h.rest()
		var err error
		if e, err = l.reopen(); err != nil {
			return
		}
	}
}

// end makes publishers wait for the next channel. Whoever wrote to the old one is
// in the ring when it returns.
func (l *confirmLane) end(why *amqp091.Error) {
	l.writing.Lock()
	l.down()
	l.bus.forget(why)
	l.writing.Unlock()
	if why != nil {
		lanesLost.Inc()
	}
}

// down needs writing.
func (l *confirmLane) down() {
	l.ch = nil
	l.window.Close(bus.Down)
}

func (l *confirmLane) reopen() (e ears, err error) {
	for !l.conn.IsClosed() {
		if e, err = l.open(); err == nil {
			return e, nil
		}
		pause(l.ctx, minBackoff)
	}
	return e, amqp091.ErrClosed
}

// block makes publishers wait while the broker asks for it.
func (l *confirmLane) block(on bool) {
	if on {
		l.window.Close(bus.Blocked)
	} else {
		l.window.Open(bus.Blocked)
	}
}

// publish writes one message and waits until the broker has answered for it.
func (l *confirmLane) publish(ctx context.Context, exchange string, p amqp091.Publishing) error {
	w := waiters.Get().(*waiter)
	if err := l.publishAsync(ctx, exchange, p, w, 0); err != nil {
		waiters.Put(w)
		return err
	}
	select {
	case err := <-w.outcome:
		waiters.Put(w)
		return err
	case <-ctx.Done(): // w will still be told
		return fmt.Errorf("%w: not confirmed in time: %w", bus.ErrOutcomeUnknown, context.Cause(ctx))
	}
}

// waiter is the Settler of a publisher who waits.
type waiter struct{ outcome chan error }

var waiters = sync.Pool{New: func() any { return &waiter{make(chan error, 1)} }}

// Settled implements bus.Settler.
func (w *waiter) Settled(_ uint64, err error) { w.outcome <- err }

// publishAsync writes one message when there is room for it, and a channel. After
// an error nothing was sent; errUndeclared asks for another try. Without an exchange
// the message is for nobody: the broker confirms and forgets it.
func (l *confirmLane) publishAsync(ctx context.Context, exchange string, p amqp091.Publishing, s bus.Settler, token uint64) error {
	u := unconfirmed{to: s, token: token, cost: l.window.Cost(len(p.Body))}
	for {
		if err := l.window.Take(ctx, len(p.Body), l.ctx.Done()); err != nil {
			return err
		}
		err := l.write(exchange, p, u)
		if err == nil {
			return nil
		}
		l.window.Give(1, u.cost)
		if !errors.Is(err, errLaneDown) {
			return err
		}
	}
}

func (l *confirmLane) write(exchange string, p amqp091.Publishing, u unconfirmed) (err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.ch == nil {
		return errLaneDown
	}
	if _, ok := l.bus.declared.Load(exchange); !ok && exchange != "" {
		return errUndeclared
	}
	u.number = l.bus.messages.Add(1)
	p.DeliveryMode, p.MessageId = amqp091.Persistent, l.name.set(l.bus, u.number)
	if u.confirmation, err = l.ch.PublishWithDeferredConfirm(exchange, "", exchange != "", false, p); err != nil {
		l.down() // closed under us, or the socket failed before the message was complete
		return errLaneDown
	}
	l.ring.add(u)
	return nil
}

// messageName is the message_id of a message of class flow: it names the message
// in returns.
type messageName [2 * (nonceSize + 8)]byte

const hexDigits = "0123456789abcdef"

// set returns a view of n that is good until the next one: the library has written
// the message by then.
func (n *messageName) set(b *Bus, number uint64) string {
	for i, c := range b.echoes.nonce {
		n[2*i], n[2*i+1] = hexDigits[c>>4], hexDigits[c&15]
	}
	for i := len(n) - 1; i >= 2*nonceSize; i-- {
		n[i] = hexDigits[number&15]
		number >>= 4
	}
	return unsafe.String(&n[0], len(n))
}
