package amqp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"sluice/bus"
)

// bulk is the connection for PublishAsync. It has a socket and a buffer of its own,
// so that work in bulk never stands in the way of calls.
type bulk struct {
	// set once
	bus  *Bus
	link *link

	lane atomic.Pointer[confirmLane] // nil while disconnected
}

func newBulk(b *Bus) *bulk {
	cfg := *b.cfg
	// What waits for the socket is bounded by the window: writing never waits.
	cfg.WriteBufferBytes = 2 * (max(cfg.BulkWindowBytes, cfg.MaxMessageBytes) + cfg.BulkWindow*overheadBytes + largePiece)
	return &bulk{bus: b, link: newLink(&cfg, "bulk", b.closeBy)}
}

func (k *bulk) run(ctx context.Context) { k.link.run(ctx, k.serve) }

// serve is the life of one connection.
func (k *bulk) serve(ctx context.Context, a *attachment) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	// The lane ends with its connection.
	defer running.Wait()
	defer a.close()
	lane := newConfirmLane(inner, k.bus, a.conn, k.bus.cfg.BulkWindow, k.bus.cfg.BulkWindowBytes)
	passed := k.link.guard()
	e, err := lane.open()
	passed()
	if err != nil {
		return fmt.Errorf("opening the channel for bulk: %w", err)
	}
	running.Go(func() { lane.run(e) })
	// What was declared may be gone with the broker.
	k.bus.declared.Clear()
	k.lane.Store(lane)
	k.link.down.Store(false)
	defer k.lane.Store(nil)
	dog := bulkWatchdog{wire: a.wire, lane: lane, timeout: k.bus.cfg.WatchdogTimeout, since: time.Now()}
	err = k.link.watch(ctx, a, min(k.bus.cfg.WatchdogInterval, k.bus.cfg.WatchdogTimeout), dog.tick, lane.block)
	if ctx.Err() != nil {
		k.drain(lane, a)
	}
	return err
}

// drain waits, for half of the time that Close has, until the broker has answered
// for everything.
func (k *bulk) drain(lane *confirmLane, a *attachment) {
	if a.wire.blocked.Load() || a.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Until(k.bus.closeBy())/2)
	defer cancel()
	_ = lane.window.Take(ctx, math.MaxInt, lane.ended) // all of the window
}

// PublishAsync implements bus.Bus.
func (b *Bus) PublishAsync(ctx context.Context, m *bus.Message, s bus.Settler, token uint64) error {
	if m.To.Class != bus.Flow {
		return errors.New("only messages of class flow are published in bulk, not " + m.To.Class.String())
	}
	if err := b.admit(ctx, m); err != nil {
		return err
	}
	lane := b.bulk.lane.Load()
	if lane == nil {
		return fmt.Errorf("%w: no connection for bulk: %w", bus.ErrUnavailable, b.bulk.link.reason())
	}
	p := publishing(m)
	for {
		if err := b.declare(ctx, m.To.Exchange); err != nil {
			return err
		}
		err := lane.publishAsync(ctx, m.To.Exchange, p, s, token)
		if errors.Is(err, errUndeclared) { // in the meantime
			continue
		}
		if err == nil {
			publishedByClass[bus.Flow].Inc()
		}
		return err
	}
}
