package amqp

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// lanesPerConnection is how many channels share the requests of a connection.
// More would not be faster; they are there so that a lane that one bad exchange
// takes down carries only part of the calls, and the others go on meanwhile.
const lanesPerConnection = 4

// overheadBytes is what a message takes on the wire beside its body, at most:
// two method and header frames with an exchange name and an id.
const overheadBytes = 1 << 10

// publisher is one connection that only publishes.
type publisher struct {
	bus     *Bus
	link    *link
	session atomic.Pointer[publishSession] // nil while disconnected
}

// publishSession is one life of a publisher's connection.
type publishSession struct {
	// set once
	bus     *Bus
	conn    *amqp091.Connection
	wire    *wire
	ctx     context.Context // ends with the session
	lanes   [lanesPerConnection]*lane
	confirm *confirmLane

	// heard says when the last echo came through consumer number i, in Unix
	// nanoseconds.
	heard []atomic.Int64
	wg    sync.WaitGroup // the lanes' goroutines
}

func newPublisher(b *Bus) *publisher {
	return &publisher{bus: b, link: newLink(b.cfg, "publish", b.closeBy)}
}

func (p *publisher) run(ctx context.Context) { p.link.run(ctx, p.serve) }

// serve is the life of one connection.
func (p *publisher) serve(ctx context.Context, a *attachment) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &publishSession{
		bus: p.bus, conn: a.conn, wire: a.wire, ctx: inner,
		heard: make([]atomic.Int64, len(p.bus.consumers)),
	}
	// The lanes end with their connection.
	defer s.wg.Wait()
	defer a.close()
	passed := p.link.guard()
	err := s.openLanes()
	passed()
	if err != nil {
		return fmt.Errorf("opening publishing channels: %w", err)
	}
	// What was declared may be gone with the broker.
	p.bus.declared.Clear()
	p.session.Store(s)
	p.link.down.Store(false)
	defer p.session.Store(nil)
	return p.link.watch(ctx, a, accountEvery, newWatchdog(p.bus, s).tick, func(bool) {})
}

func (s *publishSession) openLanes() (err error) {
	for i := range s.lanes {
		if s.lanes[i], err = s.openLane(i); err != nil {
			return err
		}
	}
	s.confirm = newConfirmLane(s.ctx, s.bus, s.conn, s.bus.cfg.ConfirmWindow, math.MaxInt)
	e, err := s.confirm.open()
	if err == nil {
		s.wg.Go(func() { s.confirm.run(e) })
	}
	return err
}

// forget makes sure that an exchange which turned out not to exist is declared
// again before its next use.
func (b *Bus) forget(why *amqp091.Error) {
	if why == nil || why.Code != amqp091.NotFound {
		return
	}
	_, rest, ok := strings.Cut(why.Reason, "no exchange '")
	if i := strings.LastIndex(rest, "' in vhost"); ok && i >= 0 {
		b.declared.Delete(rest[:i])
		return
	}
	b.declared.Clear() // a wording that we do not know
}

// reserve asks for room for a body of n bytes.
func (s *publishSession) reserve(n int) error {
	if s.wire.blocked.Load() {
		shedBlocked.Inc()
		return fmt.Errorf("%w: the broker has blocked publishers", bus.ErrBusy)
	}
	if !s.wire.reserve(n + overheadBytes) {
		shedBuffer.Inc()
		return fmt.Errorf("%w: the write buffer is full", bus.ErrBusy)
	}
	return nil
}

func (s *publishSession) release(n int) { s.wire.release(n + overheadBytes) }
