package dispatch

import (
	"sync/atomic"
	"time"

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
	prefix  string // of every id whose replies are to come to Deliver
	private string // of every id whose replies come through a queue of their own
	slots   []atomic.Pointer[slot]
	epoch   time.Time

	// made counts the slots that exist. They are made when needed and stay.
	made atomic.Uint32
	free freeList

	streams streamCount
}

var (
	_ bus.Replies = (*Pending)(nil)
	_ bus.Settler = (*Pending)(nil)
)

// NewPending returns a table for as many calls at once; 0 or anything above
// MaxSlots means MaxSlots.
func NewPending(slots int) *Pending {
	if slots <= 0 || slots > MaxSlots {
		slots = MaxSlots
	}
	return &Pending{
		prefix: randomPrefix(), private: randomPrefix(), epoch: time.Now(),
		slots:   make([]atomic.Pointer[slot], slots),
		streams: streamCount{wake: make(chan struct{}, 1)},
	}
}

// now is the time in nanoseconds, on a clock of its own.
func (p *Pending) now() int64 { return int64(time.Since(p.epoch)) }

// open returns a slot for a call of svc, or nil when all are taken. The caller
// must close it.
func (p *Pending) open(svc *service) *slot { return p.openAs(p.prefix, svc) }

// openPrivate is open for a call that gets its replies without Deliver.
func (p *Pending) openPrivate(svc *service) *slot { return p.openAs(p.private, svc) }

func (p *Pending) openAs(prefix string, svc *service) *slot {
	s := p.take()
	if s == nil {
		return nil
	}
	s.open(prefix, svc)
	p.opened(s, svc)
	return s
}

// openSink returns a slot for a call whose answer goes to sink. It frees itself,
// and ends the caller's use of svc then.
func (p *Pending) openSink(svc *service, sink Sink, w *wait) *slot {
	s := p.take()
	if s == nil {
		return nil
	}
	s.openSink(p.prefix, svc, sink, w)
	p.opened(s, svc)
	return s
}

func (p *Pending) opened(s *slot, svc *service) {
	callsWaiting.Inc()
	// Whoever stops a service marks it before looking at the slots: either it
	// has seen this one, or this sees the mark.
	if svc.stopped() {
		s.fail(ErrFlowStopped)
	}
}

// close ends the use of s, which has a mailbox. Replies that come later are stale.
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
			s := newSlot(p, uint16(n))
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
	if n, generation, v := decodeID(p.private, id); v == ours {
		if s := p.at(n); s != nil {
			s.returned(generation)
		}
		return
	}
	if s, generation := p.find(id); s != nil {
		s.returned(generation)
	}
}

// Settled implements bus.Settler: it says what became of work that was sent.
func (p *Pending) Settled(token uint64, err error) {
	if s := p.at(uint16(token & (1<<slotBits - 1))); s != nil {
		s.settled(token>>slotBits, err)
	}
}

// Lost implements bus.Replies.
func (p *Pending) Lost(lane *bus.Lane) {
	p.each(func(s *slot) {
		s.failIf(ErrLost, func() bool {
			return lane != nil && s.receipt.Lane == lane && s.unaccounted()
		})
	})
}

// Interrupted implements bus.Replies.
func (p *Pending) Interrupted() {
	p.each(func(s *slot) {
		// A request not yet sent will be sent under the new connection, and work has
		// no replies that could be lost.
		s.failIf(ErrLost, func() bool { return s.sent && !s.service.isSender() })
	})
}

// endCalls fails the calls of services that are stopped. Work that was sent does
// not end with its flow: the bus will say what became of it.
func (p *Pending) endCalls(err error) {
	p.each(func(s *slot) {
		s.failIf(err, func() bool {
			return s.service != nil && s.service.stopped() && !s.service.isSender()
		})
	})
}

// abandon fails the work that waits for its outcome at services that are stopped.
func (p *Pending) abandon() {
	p.each(func(s *slot) {
		s.failIf(ErrOutcomeUnknown, func() bool {
			return s.service != nil && s.service.stopped() && s.service.isSender()
		})
	})
}

// find returns the slot that id names and the generation it is for. Nil means
// that the id was counted as none of ours.
func (p *Pending) find(id string) (*slot, uint64) {
	n, generation, v := decodeID(p.prefix, id)
	switch {
	case v == foreign && id[:prefixBytes] == p.private:
		droppedPrivate.Inc()
		return nil, 0
	case v == foreign:
		droppedForeign.Inc()
		return nil, 0
	case v == malformed:
		droppedMalformed.Inc()
		return nil, 0
	}
	s := p.at(n)
	if s == nil {
		droppedStale.Inc()
	}
	return s, generation
}

// at returns the slot with that index, nil when there is none.
func (p *Pending) at(n uint16) *slot {
	if int(n) >= len(p.slots) {
		return nil
	}
	return p.slots[n].Load()
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
