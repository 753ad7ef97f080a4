package dispatch

import "sluice/pool"

// Sink takes the answer of one streamed call.
//
// Its methods are called one at a time and in order, from goroutines of the bus,
// of the table's deadlines, or of whoever stops the flow; they must not block, for
// they hold up the answers of others. They may be called before Stream has
// returned, and even on the goroutine that is in Stream: hold no lock there that
// a method takes. No lock of this package is held while they run, so they may
// call Stream, Call's relatives and Cancel.
type Sink interface {
	// Part takes one part of the answer, and owns body: a bus message of the
	// service, not translated. After final nothing else comes; that a part cannot
	// be translated, or reports an error, makes it final too. Body is nil, and
	// final true, when the bus has the work that was sent in a queue.
	Part(body *pool.Buffer, final bool)
	// Fail says that no further part will come, and why. The error is one that
	// Call could return after sending.
	Fail(err error)
}

// StreamHandle ends a call before its time. It is a value: copy it, keep it as
// long as you like. The zero StreamHandle is of a call that has ended.
type StreamHandle struct {
	slot       *slot
	generation uint64
}

// Cancel ends the call and frees its slot at once. It never waits, so it may be
// called from within the sink and under any lock. Doing it twice, or after the
// end, does nothing.
//
// It reports true when it ended the call and no method of the sink runs or will
// ever run. Otherwise the call had ended already, or at most one method of the
// sink, which another goroutine was about to call or is in, still runs to its end.
func (h StreamHandle) Cancel() bool {
	s := h.slot
	if s == nil {
		return false
	}
	s.mu.Lock()
	if s.sink == nil || s.generation != h.generation {
		s.mu.Unlock()
		return false
	}
	s.finish()
	quiet := !s.busy
	s.unlockFree()
	countFailure(ErrGone)
	return quiet
}
