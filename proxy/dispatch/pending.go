package dispatch

import (
	"sync/atomic"

	"sluice/bus"
	"sluice/pool"
)

// MaxSlots is the largest number of calls that can wait at the same time.
const MaxSlots = 1 << 16

// Pending is the calls that wait for an answer. It implements bus.Replies; its
// methods never wait and may be called concurrently.
//
// Each call has a slot. Its correlation id names the slot, so that finding the
// call of a reply is an array access, and the slot's generation, so that an
// answer to an earlier user of the slot is not mistaken for one to the present.
type Pending struct {
	// set once
	prefix string // of every id of ours
	slots  []atomic.Pointer[slot]

	// made counts the slots that exist. They are made when needed and stay.
	made atomic.Uint32
	free freeList
}

var _ bus.Replies = (*Pending)(nil)

// NewPending returns a table for as many calls at once; 0 or anything above
// MaxSlots means MaxSlots.
func NewPending(slots int) *Pending {
	if slots <= 0 || slots > MaxSlots {
		slots = MaxSlots
	}
	return &Pending{prefix: randomPrefix(), slots: make([]atomic.Pointer[slot], slots)}
}

// open returns a slot for a call of svc, or nil when all are taken. The caller
// must close it.
func (p *Pending) open(svc *service) *slot {
	s := p.take()
	if s == nil {
		return nil
	}
	s.open(p.prefix, svc)
	callsWaiting.Inc()
	// Whoever stops a service marks it before looking at the slots: either it
	// has seen this one, or this sees the mark.
	if svc.stopped() {
		s.fail(ErrFlowStopped)
	}
	return s
}

// close ends the use of s. Replies that come later are stale.
func (p *Pending) close(s *slot) {
	s.close()
	callsWaiting.Dec()
	p.free.push(s)
}

// take returns the slot that was freed last, or a new one.
func (p *Pending) take() *slot {
	if s := p.free.pop(p); s != nil {
		return s
	}
	for {
		n := p.made.Load()
		if int(n) == len(p.slots) {
			// One may have been freed in the meantime.
			return p.free.pop(p)
		}
		if p.made.CompareAndSwap(n, n+1) {
			s := newSlot(uint16(n))
			p.slots[n].Store(s)
			return s
		}
	}
}

// Deliver implements bus.Replies.
func (p *Pending) Deliver(id string, body *pool.Buffer) {
	s, generation := p.find(id)
	if s == nil {
		body.Release()
		return
	}
	s.deliver(generation, body)
}

// Return implements bus.Replies.
func (p *Pending) Return(id string) {
	if s, generation := p.find(id); s != nil {
		s.returned(generation)
	}
}

// Lost implements bus.Replies.
func (p *Pending) Lost(lane *bus.Lane) {
	p.each(func(s *slot) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if lane != nil && s.receipt.Lane == lane && s.unaccounted() {
			s.failLocked(ErrLost)
		}
	})
}

// Interrupted implements bus.Replies.
func (p *Pending) Interrupted() {
	p.each(func(s *slot) {
		s.mu.Lock()
		defer s.mu.Unlock()
		// A request not yet sent will be sent under the new connection.
		if s.sent {
			s.failLocked(ErrLost)
		}
	})
}

// endCalls fails the calls of services that are stopped.
func (p *Pending) endCalls(err error) {
	p.each(func(s *slot) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.service != nil && s.service.stopped() {
			s.failLocked(err)
		}
	})
}

// find returns the slot that id names and the generation it is for. Nil means
// that the id was counted as none of ours.
func (p *Pending) find(id string) (*slot, uint64) {
	n, generation, v := decodeID(p.prefix, id)
	switch {
	case v == foreign:
		droppedForeign.Inc()
		return nil, 0
	case v == malformed:
		droppedMalformed.Inc()
		return nil, 0
	case int(n) >= len(p.slots):
		droppedStale.Inc()
		return nil, 0
	}
	s := p.slots[n].Load()
	if s == nil {
		droppedStale.Inc()
	}
	return s, generation
}

// each calls f with every slot that exists.
func (p *Pending) each(f func(s *slot)) {
	for i := range p.made.Load() {
		if s := p.slots[i].Load(); s != nil {
			f(s)
		}
	}
}

// Waiting counts the calls that wait at the moment.
func (p *Pending) Waiting() int {
	n := 0
	p.each(func(s *slot) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.service != nil {
			n++
		}
	})
	return n
}
