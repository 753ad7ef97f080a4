package dispatch

import (
	"context"
	"slices"
	"sync"

	"sluice/bus"
)

// fakeBus does what its script says and remembers what it was asked.
type fakeBus struct {
	// script; nil means success at once
	onAsync     func(ctx context.Context, m *bus.Message, s Settler, token uint64) error
	onPublish   func(ctx context.Context, m *bus.Message) (bus.Receipt, error)
	onSubscribe func(ctx context.Context, c bus.Consumer) error
	onRefresh   func(ctx context.Context) error
	onDeclare   error

	mu         sync.Mutex
	published  []bus.Message
	bound      map[string]int // subscriptions by exchange
	subscribed int            // how many there ever were
	refreshed  [][]bus.Topic
	declared   []string // exchanges
}

var _ bus.Bus = (*fakeBus)(nil)

func newFakeBus() *fakeBus { return &fakeBus{bound: map[string]int{}} }

func (b *fakeBus) Publish(ctx context.Context, m *bus.Message) (bus.Receipt, error) {
	copied := *m
	copied.ID = string([]byte(m.ID))
	copied.Body = slices.Clone(m.Body)
	b.mu.Lock()
	b.published = append(b.published, copied)
	b.mu.Unlock()
	if b.onPublish == nil {
		return bus.Receipt{}, nil
	}
	return b.onPublish(ctx, m)
}

// PublishAsync keeps silent about the outcome unless the script says otherwise.
func (b *fakeBus) PublishAsync(ctx context.Context, m *bus.Message, s Settler, token uint64) error {
	if b.onAsync == nil {
		return nil
	}
	return b.onAsync(ctx, m, s, token)
}

func (b *fakeBus) Subscribe(ctx context.Context, c bus.Consumer) (bus.Subscription, error) {
	if b.onSubscribe != nil {
		if err := b.onSubscribe(ctx, c); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bound[c.Topic.Exchange]++
	b.subscribed++
	return &fakeSubscription{bus: b, exchange: c.Topic.Exchange}, nil
}

// Refresh keeps the single topics that are declared in the course of wiring apart.
func (b *fakeBus) Refresh(ctx context.Context, topics ...bus.Topic) error {
	if len(topics) == 1 {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.declared = append(b.declared, topics[0].Exchange)
		return b.onDeclare
	}
	b.mu.Lock()
	b.refreshed = append(b.refreshed, topics)
	b.mu.Unlock()
	if b.onRefresh == nil {
		return nil
	}
	return b.onRefresh(ctx)
}

func (b *fakeBus) Ready() error                { return nil }
func (b *fakeBus) Close(context.Context) error { return nil }

// messages returns what was published so far.
func (b *fakeBus) messages() []bus.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.published)
}

func (b *fakeBus) refreshes() [][]bus.Topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.refreshed)
}

// subscriptions returns how many there are on an exchange, and were on any.
func (b *fakeBus) subscriptions(exchange string) (now, ever int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bound[exchange], b.subscribed
}

type fakeSubscription struct {
	bus      *fakeBus
	exchange string
	once     sync.Once
}

func (s *fakeSubscription) Close(context.Context) error {
	s.once.Do(func() {
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		s.bus.bound[s.exchange]--
	})
	return nil
}
