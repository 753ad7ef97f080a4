package flows

import (
	"sync"

	"sluice/bus"
	"sluice/codec"
)

// notices is what config notifications amount to since the last look.
type notices struct {
	// last is the version of the newest notification.
	last int64
	// reset: a version was lower than the one before it, so the store began anew.
	reset bool
	// anything: a notification did not say what has changed.
	anything bool
	// missed: there may have been notifications that were not received.
	missed bool
	// workspaces whose flows have changed.
	workspaces map[string]struct{}
}

// inbox collects notifications without ever keeping the bus waiting. However
// many arrive, it holds one entry per workspace.
type inbox struct {
	// news has an entry while there is something to take.
	news chan struct{}

	mu      sync.Mutex
	pending notices
	newest  int64
	heard   bool
}

func newInbox() *inbox { return &inbox{news: make(chan struct{}, 1)} }

// deliver is the bus.Handler.
func (b *inbox) deliver(d *bus.Delivery) {
	push, err := codec.ParseConfigPush(d.Body)
	d.Ack()
	if err != nil {
		// Whatever it meant to say, something may have changed.
		badNotifies.Inc()
		push = codec.ConfigPush{Version: -1}
	}
	notifies.Inc()
	if b.add(push) {
		b.wake()
	}
}

// rebound is bus.Consumer.Rebound.
func (b *inbox) rebound() {
	b.mu.Lock()
	b.pending.missed = true
	b.mu.Unlock()
	b.wake()
}

// add merges a notification and reports whether it asks for anything.
func (b *inbox) add(push codec.ConfigPush) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if push.Version >= 0 {
		b.pending.reset = b.pending.reset || b.heard && push.Version < b.newest
		b.newest, b.heard = push.Version, true
		b.pending.last = push.Version
	}
	b.pending.anything = b.pending.anything || len(push.Changes) == 0
	for _, ws := range push.Changes["flow"] {
		if b.pending.workspaces == nil {
			b.pending.workspaces = make(map[string]struct{})
		}
		b.pending.workspaces[ws] = struct{}{}
	}
	return b.pending.reset || b.pending.anything || len(b.pending.workspaces) > 0
}

func (b *inbox) wake() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (b *inbox) take() notices {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.pending
	b.pending = notices{}
	return n
}
