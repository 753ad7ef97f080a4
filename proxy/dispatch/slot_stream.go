package dispatch

import (
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"sluice/pool"
)

// maxKeptQueue bounds what the queue of a slot keeps between calls.
const maxKeptQueue = 64

// streamState is the part of a slot that only streamed calls use. The slot's mu
// guards what is not atomic.
//
// The sink is called without any lock. Whoever finds something to tell it while
// nobody is at it claims it (busy), and goes on until there is nothing more to
// tell; others only leave what they have. The slot goes back to the free list
// when the call has ended, nobody is at its sink, and Stream needs it no more.
type streamState struct {
	sink       Sink  // nil: the slot has a mailbox, or the call has ended
	end, pace  int64 // when it must be over, and how long each part may take; nanoseconds
	publishing bool  // Stream has not returned
	busy       bool  // somebody calls the sink, or is about to
	told       bool  // the sink has been called, or will be
	kept       bool  // the bus has what was sent
	queue      []*pool.Buffer

	// due is when the call times out, on the clock of Pending; 0 means never.
	due atomic.Int64
}

// openSink begins a streamed call of svc. It takes over the caller's use of svc.
func (s *slot) openSink(prefix string, svc *service, sink Sink, w *wait) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(prefix, svc)
	s.sink, s.publishing = sink, true
	s.end, s.pace = int64(w.end.Sub(s.pending.epoch)), int64(w.part)
	s.pending.streams.open()
}

// finish ends a streamed call: nothing more is told to its sink. mu is held.
func (s *slot) finish() {
	s.generation = (s.generation + 1) & generationMask
	s.service.leave()
	s.service, s.sink = nil, nil
	s.clear()
	s.told, s.kept = false, false
	s.due.Store(0)
	for i, body := range s.queue {
		body.Release()
		s.queue[i] = nil
		droppedLate.Inc()
	}
	s.queue = s.queue[:0]
	if cap(s.queue) > maxKeptQueue {
		s.queue = nil
	}
	callsWaiting.Dec()
	s.pending.streams.close()
}

// unlockFree unlocks mu, and gives the slot of a streamed call back if that has
// ended and nobody needs it any more. It is called once after each change that
// may make that so.
func (s *slot) unlockFree() {
	free := s.service == nil && !s.busy && !s.publishing
	s.mu.Unlock()
	if free {
		s.pending.free.push(s)
	}
}

// launched ends the part of the call that Stream does. Err is why the request was
// not sent. It returns why the call failed before its sink heard anything, and
// then the sink never will.
func (s *slot) launched(generation uint64, err error) error {
	s.context.release()
	s.mu.Lock()
	s.publishing = false
	switch {
	case s.generation != generation: // it is over already
		s.unlockFree()
		return nil
	case s.told:
		// Somebody answered, so it was sent, whatever the bus says.
		s.mu.Unlock()
		return nil
	case s.err != nil:
		err = s.err
	}
	if err == nil {
		s.due.Store(s.dueAfter(s.pending.now()))
		s.mu.Unlock()
		return nil
	}
	s.finish()
	s.unlockFree()
	return err
}

// dueAfter returns when a wait for a part that begins now must end.
func (s *slot) dueAfter(now int64) int64 { return min(now+s.pace, s.end) }

// take queues a part for the sink. It reports whether the caller must call speak.
// mu is held.
func (s *slot) take(body *pool.Buffer) bool {
	s.account()
	s.service.parts.Add(1)
	s.due.Store(s.dueAfter(s.pending.now()))
	s.queue = append(s.queue, body)
	s.told = true
	return s.claim()
}

// settled says what became of the work that was sent.
func (s *slot) settled(generation uint64, err error) {
	s.mu.Lock()
	speak := false
	switch {
	case s.sink == nil || s.generation != generation || s.err != nil:
	case err != nil:
		speak = s.failLocked(busError(err))
	default:
		s.kept, s.told = true, true
		speak = s.claim()
	}
	s.mu.Unlock()
	if speak {
		s.speak()
	}
}

// claim makes the caller the one who calls the sink, unless somebody is at it or
// Stream will return the error. mu is held.
func (s *slot) claim() bool {
	if s.busy || s.publishing && !s.told {
		return false
	}
	s.busy = true
	return true
}

// speak tells the sink what there is to tell. The caller has claimed the sink.
func (s *slot) speak() {
	for {
		s.mu.Lock()
		switch {
		case s.sink == nil:
			s.rest()
			return
		case len(s.queue) > 0:
			if !s.tellPart() {
				return
			}
		case s.kept:
			s.tellLast(nil, nil)
			return
		case s.err != nil:
			s.tellLast(nil, s.err)
			return
		default:
			s.busy = false
			s.mu.Unlock()
			return
		}
	}
}

// tellPart hands over the first part of the queue. It reports whether there may be
// more to tell. mu is held, and released on the way.
func (s *slot) tellPart() bool {
	body := s.queue[0]
	n := copy(s.queue, s.queue[1:])
	s.queue[n] = nil
	s.queue = s.queue[:n]
	sink, kind := s.sink, s.service.key.Kind
	s.mu.Unlock()
	if !ends(kind, body.B) {
		if call(sink, body, nil, false) {
			return true
		}
		s.mu.Lock()
		if s.sink != nil {
			s.finish()
		}
		s.rest()
		return false
	}
	s.mu.Lock()
	if s.sink == nil { // cancelled meanwhile
		body.Release()
		s.rest()
		return false
	}
	s.tellLast(body, nil)
	return false
}

// tellLast ends the call and tells the sink. mu is held, and released.
func (s *slot) tellLast(body *pool.Buffer, err error) {
	sink := s.sink
	s.finish()
	s.mu.Unlock()
	if err != nil {
		countFailure(err)
	}
	call(sink, body, err, true)
	s.mu.Lock()
	s.rest()
}

// rest says that nobody is at the sink any more. mu is held, and released.
func (s *slot) rest() {
	s.busy = false
	s.unlockFree()
}

// call calls a sink. It runs in goroutines whose panics would end the process: one
// of a sink, which may translate what a service sent, ends that call alone. It
// reports whether all went well.
func call(sink Sink, body *pool.Buffer, err error, final bool) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			sinkPanics.Inc()
			slog.Error("the receiver of an answer panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	if err != nil {
		sink.Fail(err)
	} else {
		sink.Part(body, final)
	}
	return true
}

// expire times the call out if it is due. It returns the service if nobody has
// had a reply of it since the request left, else nil.
func (s *slot) expire(now int64) (silent *service) {
	s.mu.Lock()
	due := s.due.Load()
	if s.sink == nil || due == 0 || now < due {
		s.mu.Unlock()
		return nil
	}
	s.due.Store(0)
	err := ErrTimeout
	if s.service.isSender() {
		err = ErrOutcomeUnknown
	} else if s.service.parts.Load() == s.partsBefore {
		silent = s.service
	}
	speak := s.failLocked(err)
	s.mu.Unlock()
	if speak {
		s.speak()
	}
	return silent
}

// token names the call to whoever settles what it sent.
func (s *slot) token() uint64 { return s.generation<<slotBits | uint64(s.index) }
