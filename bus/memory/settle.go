package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/bus"
)

// What PublishAsync may have on its way and not settled.
const (
	windowMessages = 4096
	windowBytes    = 32 << 20
)

// PublishAsync implements bus.Bus.
func (b *Bus) PublishAsync(ctx context.Context, m *bus.Message, s bus.Settler, token uint64) error {
	switch {
	case m.To.Class != bus.Flow:
		return errors.New("only messages of class flow are published in bulk, not " + m.To.Class.String())
	case b.closed.Load():
		return bus.ErrClosed
	}
	if err := b.settling.window.Take(ctx, len(m.Body), b.done); err != nil {
		if b.closed.Load() {
			return bus.ErrClosed
		}
		return err
	}
	cost := b.settling.window.Cost(len(m.Body))
	_, err := b.Publish(ctx, m)
	if err == nil || errors.Is(err, bus.ErrUnroutable) || errors.Is(err, bus.ErrOutcomeUnknown) {
		b.settling.add(settlement{s, token, err, cost})
		return nil
	}
	b.settling.window.Give(1, cost)
	return err
}

// settlement is what somebody has to be told.
type settlement struct {
	to    bus.Settler
	token uint64
	err   error
	cost  int
}

// settling tells publishers what became of their messages, as the broker's
// confirmations would: later, one after the other, from a goroutine of its own,
// which runs while there is something to tell.
type settling struct {
	window *bus.Window
	run    func() // set once: starting it allocates nothing

	mu      sync.Mutex
	idle    sync.Cond // running has become false
	waiting []settlement
	spare   []settlement
	running bool
}

func newSettling() *settling {
	s := &settling{window: bus.NewWindow(windowMessages, windowBytes)}
	s.idle.L = &s.mu
	s.run = s.tell
	return s
}

func (s *settling) add(one settlement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, one)
	if !s.running {
		s.running = true
		go s.run()
	}
}

// tell is the goroutine. It ends when there is nothing more to tell.
func (s *settling) tell() {
	for batch := s.take(nil); len(batch) > 0; batch = s.take(batch) {
		cost := 0
		for _, one := range batch {
			one.to.Settled(one.token, one.err)
			cost += one.cost
		}
		s.window.Give(len(batch), cost)
	}
}

// take gives the last batch back and returns the next one.
func (s *settling) take(last []settlement) []settlement {
	clear(last)
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.waiting
	s.waiting, s.spare = s.spare, nil
	if last != nil {
		s.waiting = last[:0]
	}
	if len(batch) == 0 {
		s.spare = batch
		s.running = false
		s.idle.Broadcast()
	}
	return batch
}

// interrupt is what a lost connection does to what was not settled.
func (s *settling) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.waiting {
		s.waiting[i].err = fmt.Errorf("%w: connection lost", bus.ErrOutcomeUnknown)
	}
}

// wait returns when everything is told, or ctx ends.
func (s *settling) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.idle.Broadcast()
		s.mu.Unlock()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.running {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.idle.Wait()
	}
	return nil
}
