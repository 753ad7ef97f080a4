package amqp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// confirmLane is the publishing channel for class flow: in confirm mode, with a
// bounded number of messages that the broker has not answered for.
type confirmLane struct {
	// set once
	session *publishSession
	// window holds a token per unconfirmed message. It is given back when the
	// broker answers, not when the publisher gives up, so that the listeners'
	// buffers always suffice.
	window chan struct{}

	mu      sync.Mutex
	ch      *amqp091.Channel // nil while down
	up      chan struct{}    // closed when ch is not nil
	tag     uint64           // the broker's number of the last message on ch
	pending []unconfirmed    // ring, by tag
}

type unconfirmed struct {
	id      string // message_id
	outcome chan error
}

// ears are the listeners of one channel.
type ears struct {
	returns  chan amqp091.Return
	confirms chan amqp091.Confirmation
	closed   chan *amqp091.Error
}

func (s *publishSession) openConfirmLane() (*confirmLane, error) {
	size := s.bus.cfg.ConfirmWindow
	l := &confirmLane{
		session: s, window: make(chan struct{}, size), pending: make([]unconfirmed, size), up: make(chan struct{}),
	}
	e, err := l.open()
	if err != nil {
		return nil, err
	}
	s.wg.Go(func() { l.run(e) })
	return l, nil
}

func (l *confirmLane) open() (e ears, err error) {
	ch, err := l.session.conn.Channel()
	if err != nil {
		return e, err
	}
	if err = ch.Confirm(false); err != nil {
		return e, err
	}
	e = ears{
		returns:  ch.NotifyReturn(make(chan amqp091.Return, cap(l.window)+1)),
		confirms: ch.NotifyPublish(make(chan amqp091.Confirmation, cap(l.window)+1)),
		closed:   ch.NotifyClose(make(chan *amqp091.Error, 1)),
	}
	l.mu.Lock()
	l.ch, l.tag = ch, 0
	close(l.up)
	l.mu.Unlock()
	return e, nil
}

// run settles what was published until the connection ends.
func (l *confirmLane) run(e ears) {
	for {
		l.listen(e)
		l.end(<-e.closed)
		var err error
		if e, err = l.reopen(); err != nil {
			return
		}
	}
}

// listen handles confirmations until the channel closes. The broker sends a
// return before the confirmation of the same message, and the library puts both
// into their buffers in that order: what was returned is known when its
// confirmation is looked at, provided that returns are read first.
func (l *confirmLane) listen(e ears) {
	gone := map[string]struct{}{}
	for c := range e.confirms {
		for more := true; more; {
			select {
			case r, ok := <-e.returns:
				if more = ok; ok {
					returned.Inc()
					gone[r.MessageId] = struct{}{}
				}
			default:
				more = false
			}
		}
		l.settle(c, gone)
	}
}

func (l *confirmLane) settle(c amqp091.Confirmation, gone map[string]struct{}) {
	l.mu.Lock()
	slot := &l.pending[c.DeliveryTag%uint64(len(l.pending))]
	u := *slot
	*slot = unconfirmed{}
	l.mu.Unlock()
	if u.outcome == nil {
		return
	}
	_, unroutable := gone[u.id]
	delete(gone, u.id)
	switch {
	case !c.Ack:
		confirmNacked.Inc()
		u.outcome <- fmt.Errorf("%w: the broker could not keep the message", bus.ErrOutcomeUnknown)
	case unroutable:
		confirmAcked.Inc()
		u.outcome <- bus.ErrUnroutable
	default:
		confirmAcked.Inc()
		u.outcome <- nil
	}
	<-l.window
}

// end settles everything that a lost channel leaves unconfirmed.
func (l *confirmLane) end(why *amqp091.Error) {
	l.mu.Lock()
	left := l.pending
	l.pending = make([]unconfirmed, len(left))
	l.down()
	l.session.forget(why)
	l.mu.Unlock()
	if why != nil {
		lanesLost.Inc()
	}
	for _, u := range left {
		if u.outcome != nil {
			confirmUnknown.Inc()
			u.outcome <- fmt.Errorf("%w: publishing channel lost", bus.ErrOutcomeUnknown)
			<-l.window
		}
	}
}

// down makes publishers wait for the next channel. Needs mu.
func (l *confirmLane) down() {
	if l.ch != nil {
		l.ch, l.up = nil, make(chan struct{})
	}
}

func (l *confirmLane) reopen() (e ears, err error) {
	for !l.session.conn.IsClosed() {
		if e, err = l.open(); err == nil {
			return e, nil
		}
		pause(l.session.ctx, minBackoff)
	}
	return e, amqp091.ErrClosed
}

// publish writes one message and waits until the broker has answered for it.
func (l *confirmLane) publish(ctx context.Context, exchange string, p amqp091.Publishing) error {
	select {
	case l.window <- struct{}{}:
	default:
		if err := l.waitForWindow(ctx); err != nil {
			return err
		}
	}
	outcome, err := l.write(exchange, p)
	for errors.Is(err, errLaneDown) {
		if err = l.waitForChannel(ctx); err == nil {
			outcome, err = l.write(exchange, p)
		}
	}
	if err != nil {
		<-l.window
		return err
	}
	select {
	case err = <-outcome:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: not confirmed in time: %w", bus.ErrOutcomeUnknown, context.Cause(ctx))
	}
}

func (l *confirmLane) waitForWindow(ctx context.Context) error {
	select {
	case l.window <- struct{}{}:
		return nil
	case <-l.session.ctx.Done():
		return fmt.Errorf("%w: connection lost", bus.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: too many messages await their confirmation: %w", bus.ErrBusy, context.Cause(ctx))
	}
}

// waitForChannel returns when there is one again: whoever sends work waits for the
// broker anyway.
func (l *confirmLane) waitForChannel(ctx context.Context) error {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-l.session.ctx.Done():
		return fmt.Errorf("%w: connection lost", bus.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: publishing channel is being replaced: %w", bus.ErrUnavailable, context.Cause(ctx))
	}
}

func (l *confirmLane) write(exchange string, p amqp091.Publishing) (chan error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ch == nil {
		return nil, errLaneDown
	}
	if _, ok := l.session.bus.declared.Load(exchange); !ok {
		return nil, errUndeclared
	}
	u := unconfirmed{id: p.MessageId, outcome: make(chan error, 1)}
	slot := &l.pending[(l.tag+1)%uint64(len(l.pending))]
	*slot = u // before it is written: the answer may be quick
	if err := l.ch.Publish(exchange, "", true, false, p); err != nil {
		*slot = unconfirmed{}
		l.down() // closed under us, or the socket failed before the message was complete
		return nil, errLaneDown
	}
	l.tag++
	return u.outcome, nil
}

// messageID names the n-th message of class flow in returns.
func (b *Bus) messageID() string {
	var id [16]byte
	copy(id[:8], b.echoes.nonce[:])
	n := b.messages.Add(1)
	for i := range 8 {
		id[15-i] = byte(n >> (8 * i))
	}
	return hex.EncodeToString(id[:])
}
