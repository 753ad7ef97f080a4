package dispatch

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"sluice/bus"
	"sluice/codec"
	"sluice/pool"
)

// slot is the place of one waiting call. It holds at most one unread part of the
// answer, or gives each one to a sink.
type slot struct {
	// set once
	pending *Pending
	index   uint32
	ready   chan struct{} // holds a token when there is a part or an error to take

	// owned by the free list
	nextFree atomic.Uint32

	// owned by the call that has the slot open
	id      idText
	timer   *time.Timer
	context callContext
	message bus.Message
	// partsBefore is how many parts of any call the service had sent before.
	partsBefore uint64

	mu         sync.Mutex
	generation uint64 // 48 bits; changes when the slot is opened and when it is closed
	service    *service
	receipt    bus.Receipt
	sent       bool // the request may be on its way
	heard      bool // a part or a return came
	part       *pool.Buffer
	err        error // why no further part will come

	streamState
}

func newSlot(p *Pending, index uint16) *slot {
	s := &slot{pending: p, index: uint32(index), ready: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	s.timer.Stop()
	return s
}

// open begins a call of svc.
func (s *slot) open(prefix string, svc *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(prefix, svc)
}

// begin is open with mu held.
func (s *slot) begin(prefix string, svc *service) {
	s.generation = (s.generation + 1) & generationMask
	s.service = svc
	s.id.encode(prefix, uint16(s.index), s.generation)
}

// close ends the call.
func (s *slot) close() {
	s.timer.Stop()
	s.context.release()
	s.message = bus.Message{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation = (s.generation + 1) & generationMask
	s.service = nil
	s.part.Release()
	s.part = nil
	s.clear()
	select {
	case <-s.ready:
	default:
	}
}

// clear forgets how the call went. mu is held.
func (s *slot) clear() {
	s.receipt = bus.Receipt{}
	s.sent, s.heard = false, false
	s.err = nil
}

// generationNow names the call that has the slot open.
func (s *slot) generationNow() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// idView is the correlation id. It is good until the slot is closed.
func (s *slot) idView() string { return unsafe.String(&s.id[0], len(s.id)) }

// sending says that the request may reach the bus from now on, or returns why it
// must not.
func (s *slot) sending(partsBefore uint64) error {
	s.partsBefore = partsBefore
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.sent = true
	}
	return s.err
}

// published records where the request went. Its answer, and the end of its
// lane, may have come earlier.
func (s *slot) published(r bus.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receipt = r
	if r.Lane == nil {
		return
	}
	if s.heard {
		r.Lane.Account(r.Seq)
	} else if r.Lane.Lost() && s.unaccounted() {
		// Nobody has answered, so there is no sink to tell: Stream has not returned.
		s.failLocked(ErrLost)
	}
}

// unaccounted reports whether the request may have vanished with its lane. mu
// is held.
func (s *slot) unaccounted() bool {
	return !s.heard && s.receipt.Seq > s.receipt.Lane.Accounted()
}

// deliver puts a part into the slot, if it is for the call that has it open. An
// unread part gives way unless it ends the answer. It owns body.
func (s *slot) deliver(generation uint64, body *pool.Buffer) {
	s.mu.Lock()
	drop, speak := body, false
	switch {
	case s.service == nil || s.generation != generation:
		droppedStale.Inc()
	case s.err != nil:
		droppedLate.Inc()
	case s.sink != nil:
		drop, speak = nil, s.take(body)
	case s.part != nil && ends(s.service.key.Kind, s.part.B):
		s.account()
		droppedLate.Inc()
	default:
		s.account()
		if s.part != nil {
			droppedReplaced.Inc()
		}
		drop, s.part = s.part, body
		s.signal()
	}
	s.mu.Unlock()
	drop.Release()
	if speak {
		s.speak()
	}
}

// ends reports whether a part is the last one. In a mailbox it is asked only when
// another part is there already, so that most are read once. It runs in the bus's
// goroutine, where a panic would end the process: it counts as the last part,
// and the call that translates the part will run into the same.
func ends(kind codec.Kind, part []byte) (last bool) {
	defer func() {
		if recover() != nil {
			last = true
		}
	}()
	return codec.Final(kind, part)
}

// returned fails the call because its request reached no queue.
func (s *slot) returned(generation uint64) {
	s.failIf(ErrNoService, func() bool {
		if s.service == nil || s.generation != generation {
			droppedStale.Inc()
			return false
		}
		s.account()
		return true
	})
}

// account notes that the broker has seen the request. mu is held.
func (s *slot) account() {
	s.heard = true
	if s.receipt.Lane != nil {
		s.receipt.Lane.Account(s.receipt.Seq)
	}
}

// fail ends the call with err unless its last part is there already.
func (s *slot) fail(err error) { s.failIf(err, func() bool { return true }) }

// failIf is fail when, with mu held, concerned says so.
func (s *slot) failIf(err error, concerned func() bool) {
	s.mu.Lock()
	speak := concerned() && s.failLocked(err)
	s.mu.Unlock()
	if speak {
		s.speak()
	}
}

// failLocked reports whether the caller must call speak once mu is released.
func (s *slot) failLocked(err error) (speak bool) {
	if s.service == nil || s.err != nil {
		return false
	}
	s.err = err
	// The call may still be waiting for the bus to take the request.
	s.context.fail(err)
	if s.sink != nil {
		return s.claim()
	}
	s.signal()
	return false
}

// failure returns why the call has failed, if it has.
func (s *slot) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// signal wakes the call. mu is held, so no token outlives the call.
func (s *slot) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// next waits for a part, which the caller then owns. A part that came before
// the call failed is returned first.
func (s *slot) next(gone <-chan struct{}) (*pool.Buffer, error) {
	for {
		var late error
		select {
		case <-s.ready:
		case <-s.timer.C:
			late = ErrTimeout
		case <-gone:
			return nil, ErrGone
		}
		part, err := s.takePart()
		if part != nil || err != nil {
			return part, err
		}
		if late != nil {
			return nil, late
		}
	}
}

// again begins the wait for another part. It reports whether there is any time
// left.
func (s *slot) again(w *wait) bool {
	left := time.Until(w.next(time.Now()))
	if left > 0 {
		s.timer.Reset(left)
	}
	return left > 0
}

func (s *slot) takePart() (*pool.Buffer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.part
	s.part = nil
	if part != nil {
		if s.err != nil {
			s.signal() // for the next call of next, should this part not be the last
		}
		return part, nil
	}
	return nil, s.err
}

// answered notes that the service has answered the call, by another way than
// deliver.
func (s *slot) answered(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service != nil && s.generation == generation {
		s.account()
	}
}

// failCall is fail for a call that may have ended.
func (s *slot) failCall(generation uint64, err error) {
	s.failIf(err, func() bool { return s.service != nil && s.generation == generation })
}
