package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/bus"
)

// blockingPrefetch is how many messages the bus sends ahead of a blocking tap.
const blockingPrefetch = 64

// BlockingTap is a consumer of its own on the stream of an interface. Its reader
// may take its time: what it has not taken waits with the broker, within a limit
// beyond which the oldest messages are dropped there, without a word. Make it with
// Table.BlockingTap and end it with Close.
type BlockingTap struct {
	// set once
	table        *Table
	link         *link
	subscription bus.Subscription
	messages     chan *bus.Delivery
	cut          chan struct{} // closed with the link
	closed       chan struct{}
	closing      sync.Once

	why error // written before cut is closed
}

// BlockingTap subscribes to what is published to the flow's interface from now on,
// with room for maxBytes of it at the broker. The error is as for Outlet, or
// ErrExhausted when Config.BlockingTaps are open.
func (t *Table) BlockingTap(workspace, flow, iface string, maxBytes int) (*BlockingTap, error) {
	b := &BlockingTap{
		table: t, messages: make(chan *bus.Delivery, blockingPrefetch),
		cut: make(chan struct{}), closed: make(chan struct{}),
	}
	if err := b.open(workspace, flow, iface, maxBytes); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *BlockingTap) open(workspace, flow, iface string, maxBytes int) (err error) {
	t := b.table
	b.link, err = t.link(workspace, flow, iface, func(why error) {
		b.why = why
		close(b.cut)
	})
	if err != nil {
		return err
	}
	select {
	case t.blockingTaps <- struct{}{}:
	default:
		t.links.remove(b.link)
		return ErrExhausted
	}
	ctx, cancel := context.WithTimeout(t.ctx, wireTimeout)
	defer cancel()
	b.subscription, err = t.bus.Subscribe(ctx, bus.Consumer{
		Topic: b.link.topic, Prefetch: blockingPrefetch, MaxBytes: maxBytes, Handler: b.take,
	})
	if err != nil {
		t.links.remove(b.link)
		<-t.blockingTaps
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	exportConsumers.Inc()
	return nil
}

// take is the consumer's handler.
func (b *BlockingTap) take(d *bus.Delivery) {
	select {
	case b.messages <- d:
	case <-b.closed:
		d.Ack()
	}
}

// Run calls fn with each message, which is borrowed until fn returns and then
// acknowledged. It returns the first error of fn, ErrGone when gone is closed,
// ErrFlowStopped when the flow stopped or its interface was given another topic,
// or ErrUnavailable when the table or the tap was closed. It may be called once.
func (b *BlockingTap) Run(gone <-chan struct{}, fn func(msg []byte) error) error {
	for {
		if err := b.ended(gone); err != nil {
			return err
		}
		select {
		case d := <-b.messages:
			if err := handMessage(d, fn); err != nil {
				return err
			}
		case <-b.cut:
		case <-b.closed:
		case <-gone:
		}
	}
}

// ended returns why there is nothing more to read.
func (b *BlockingTap) ended(gone <-chan struct{}) error {
	select {
	case <-b.cut:
		return b.why
	case <-b.closed:
		return errTapClosed
	case <-gone:
		return ErrGone
	default:
		return nil
	}
}

var errTapClosed = fmt.Errorf("%w: %w", ErrUnavailable, errors.New("the tap is closed"))

// handMessage calls fn and then settles the message, come what may.
func handMessage(d *bus.Delivery, fn func(msg []byte) error) error {
	defer d.Ack()
	exportMessages.Inc()
	return fn(d.Body)
}

// Close gives the consumer back and waits for that, at most 5 s. It may be called
// twice, and while Run runs.
func (b *BlockingTap) Close() { b.closing.Do(b.close) }

func (b *BlockingTap) close() {
	t := b.table
	close(b.closed)
	t.links.remove(b.link)
	ctx, cancel := context.WithTimeout(context.Background(), unwireTimeout)
	defer cancel()
	if err := b.subscription.Close(ctx); err != nil {
		t.config.Log.Warn("cannot close an export", "topic", b.link.topic.Exchange, "error", err)
	}
	exportConsumers.Dec()
	<-t.blockingTaps
	for {
		select {
		case d := <-b.messages:
			d.Ack()
		default:
			return
		}
	}
}
