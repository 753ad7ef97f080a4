package dispatch

import (
	"context"

	"sluice/bus"
)

// Settler is told what became of what an Outlet published.
type Settler interface {
	Settled(token uint64, err error)
}

// publishAsync stands in until the bus has it.
func (t *Table) publishAsync(ctx context.Context, m *bus.Message, s Settler, token uint64) error {
	if b, ok := t.bus.(interface {
		PublishAsync(ctx context.Context, m *bus.Message, s Settler, token uint64) error
	}); ok {
		return b.PublishAsync(ctx, m, s, token)
	}
	return bus.ErrUnavailable
}
