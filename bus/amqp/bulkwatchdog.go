package amqp

import (
	"context"
	"fmt"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// bulkWatchdog finds out a broker that takes everything and confirms nothing. When
// there is nothing to confirm it sends a message to nobody.
type bulkWatchdog struct {
	wire    *wire
	lane    *confirmLane
	timeout time.Duration
	settled uint64
	since   time.Time // when there last was progress, or nothing to wait for
}

// over is the context of who does not wait.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// tick fails when nothing was confirmed for too long.
func (d *bulkWatchdog) tick(now time.Time) error {
	blocked := d.wire.blocked.Load()
	settled, waiting := d.lane.ring.progress()
	if blocked || !waiting || settled != d.settled {
		d.settled, d.since = settled, now
	}
	if now.Sub(d.since) > d.timeout {
		return fmt.Errorf("no message in bulk was confirmed within %v", d.timeout)
	}
	if !waiting && !blocked {
		// Without room there is no need for it, without a channel no use.
		_ = d.lane.publishAsync(over, "", amqp091.Publishing{}, nil, 0)
	}
	return nil
}
