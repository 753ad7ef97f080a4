package amqp

import (
	"context"
	"errors"

	"sluice/bus"
)

// PublishAsync implements bus.Bus.
func (b *Bus) PublishAsync(ctx context.Context, m *bus.Message, s bus.Settler, token uint64) error {
	_, err := b.Publish(ctx, m)
	if err == nil || errors.Is(err, bus.ErrUnroutable) || errors.Is(err, bus.ErrOutcomeUnknown) {
		s.Settled(token, err)
		return nil
	}
	return err
}
