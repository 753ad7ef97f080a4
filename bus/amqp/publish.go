package amqp

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"

	"github.com/rabbitmq/amqp091-go"

	"sluice/bus"
)

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, m *bus.Message) (bus.Receipt, error) {
	if err := b.admit(ctx, m); err != nil {
		return bus.Receipt{}, err
	}
	hash := maphash.String(b.seed, m.To.Exchange)
	s := b.publishSession(hash)
	if s == nil {
		return bus.Receipt{}, fmt.Errorf("%w: %w", bus.ErrUnavailable, b.publishers[0].link.reason())
	}
	if err := s.reserve(len(m.Body)); err != nil {
		return bus.Receipt{}, err
	}
	defer s.release(len(m.Body))
	r, err := b.send(ctx, s, hash, m)
	if err != nil {
		return bus.Receipt{}, err
	}
	publishedByClass[m.To.Class].Inc()
	if m.To.Class != bus.Request {
		r = bus.Receipt{}
	}
	return r, nil
}

// send declares the exchange if need be and publishes. Messages of one exchange
// keep to one lane, and so their order; while that one is down they go to the next.
func (b *Bus) send(ctx context.Context, s *publishSession, hash uint64, m *bus.Message) (r bus.Receipt, err error) {
	p := publishing(m)
	for tries := 0; ; {
		if err := b.declare(ctx, m.To.Exchange); err != nil {
			return r, err
		}
		if m.To.Class == bus.Flow {
			err = s.confirm.publish(ctx, m.To.Exchange, p)
		} else {
			r, err = s.lanes[hash%lanesPerConnection].publish(m.To.Exchange, m.To.Class == bus.Request, p)
		}
		switch {
		case errors.Is(err, errUndeclared): // in the meantime
		case errors.Is(err, errLaneDown) && tries < lanesPerConnection:
			hash++
			tries++
		case errors.Is(err, errLaneDown):
			return r, fmt.Errorf("%w: %w", bus.ErrUnavailable, err)
		default:
			return r, err
		}
	}
}

// maxExpiration is the largest the broker takes; a larger one would cost the lane.
const maxExpiration = math.MaxUint32

// publishing is m as the broker sees it, but for what confirmations take.
func publishing(m *bus.Message) amqp091.Publishing {
	p := amqp091.Publishing{ContentType: "application/json", DeliveryMode: amqp091.Transient, Body: m.Body}
	if m.ID != "" {
		p.Headers = amqp091.Table{"id": m.ID}
	}
	if ms := m.ExpirationMillis(); ms > 0 {
		p.Expiration = strconv.FormatInt(min(ms, maxExpiration), 10)
	}
	return p
}

// admit refuses what must not or cannot be sent now.
func (b *Bus) admit(ctx context.Context, m *bus.Message) error {
	switch {
	case b.closed.Load():
		return bus.ErrClosed
	case len(m.Body) > b.cfg.MaxMessageBytes:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", bus.ErrTooLarge, len(m.Body), b.cfg.MaxMessageBytes)
	case len(m.ID) > math.MaxUint8:
		return fmt.Errorf("message id of %d bytes, at most 255 are allowed", len(m.ID))
	case m.To.Exchange == "" || len(m.To.Exchange) > math.MaxUint8:
		return fmt.Errorf("exchange name of %d bytes, 1 to 255 are allowed", len(m.To.Exchange))
	case m.ID == "" && m.To.Class == bus.Request:
		return errors.New("a request needs an id: services would redeliver it for ever")
	case ctx.Err() != nil:
		return fmt.Errorf("not published: %w", context.Cause(ctx))
	case m.To.Class == bus.Request:
		return b.repliesBound(m)
	}
	return nil
}

// repliesBound is the gate of requests: without a bound reply queue their answers
// would be lost.
func (b *Bus) repliesBound(m *bus.Message) error {
	if m.ReplyTo.Exchange != "" {
		return b.consumerOf(m.ReplyTo.Exchange).topology.use(m.ReplyTo.Exchange)
	}
	for _, c := range b.consumers {
		if err := c.ready(); err != nil {
			return err
		}
	}
	return nil
}
