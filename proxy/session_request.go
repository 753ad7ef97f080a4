package proxy

import (
	"sync"
	"sync/atomic"

	"sluice/codec"
	"sluice/pool"
	"sluice/proxy/auth"
	"sluice/proxy/dispatch"
)

// muxCall is one request of a socket, from its start to its last frame. It is the
// dispatcher's sink and the writer's source: parts are queued as the service sent
// them, and translated into the frame that leaves.
type muxCall struct {
	// Set before it is started.

	s      *session
	kind   codec.Kind
	who    *auth.Identity
	sum    digest
	prefix []byte // `{"id":…,"response":`

	// refs counts who may still look: the call, its start, each queued part, and
	// whoever cancels it.
	refs atomic.Int32

	// Guarded by the session's mu.

	next, prev *muxCall
	handle     dispatch.StreamHandle
	linked     bool
	launched   bool // handle is set
	ending     bool // its last frame is being queued, so nothing can join any more
	cancelled  bool
}

var muxCalls = sync.Pool{New: func() any { return new(muxCall) }}

// open makes the request of an admitted frame. It is nil when the frame equals one
// that is under way already, whose answer is then the answer to both.
func (s *session) open(in *inbound, who *auth.Identity) *muxCall {
	sum := digestOf(in.msg.B)
	r := muxCalls.Get().(*muxCall) //nolint:forcetypeassert // the pool's own
	r.s, r.kind, r.who, r.sum = s, in.req.Kind(), who, sum
	r.refs.Store(2)
	b := append(append(r.prefix[:0], `{"id":`...), in.frame.ID().Raw...)
	r.prefix = append(b, `,"response":`...)
	if s.link(r) {
		return r
	}
	r.recycle()
	return nil
}

// link adds r to the session's requests unless there is an equal one, or the
// session is over.
func (s *session) link(r *muxCall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	for q := s.requests.first; q != nil; q = q.next {
		if !q.ending && q.sum == r.sum && same(q.who, r.who) {
			return false
		}
	}
	r.prev, r.linked = s.requests.last, true
	if r.prev == nil {
		s.requests.first = r
	} else {
		r.prev.next = r
	}
	s.requests.last = r
	return true
}

// unlink takes a finished request out and lets the next one start.
func (s *session) unlink(r *muxCall) {
	s.mu.Lock()
	if !r.linked {
		s.mu.Unlock()
		return
	}
	if r.prev == nil {
		s.requests.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		s.requests.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.next, r.prev, r.linked = nil, nil, false
	s.requests.running--
	s.kick()
	over := s.overNow()
	s.mu.Unlock()
	s.finishUp(over)
}

// launchedAs notes the handle of the call, and ends one that was cancelled
// meanwhile.
func (r *muxCall) launchedAs(h dispatch.StreamHandle) {
	r.s.mu.Lock()
	r.handle, r.launched = h, true
	cancelled := r.cancelled
	r.s.mu.Unlock()
	if cancelled && h.Cancel() {
		r.release()
	}
	r.release()
}

// cancel ends the call of a request whose session is over.
func (r *muxCall) cancel() {
	r.s.mu.Lock()
	h, launched := r.handle, r.launched
	r.s.mu.Unlock()
	if launched && h.Cancel() {
		r.release()
	}
}

// release gives up one reference. A cancelled call whose sink was busy keeps its
// own for ever, which only costs the pool a request.
func (r *muxCall) release() {
	if r.refs.Add(-1) == 0 {
		r.recycle()
	}
}

func (r *muxCall) recycle() {
	prefix := r.prefix[:0]
	if cap(prefix) > 512 {
		prefix = nil
	}
	*r = muxCall{prefix: prefix}
	muxCalls.Put(r)
}

// Part implements dispatch.Sink.
func (r *muxCall) Part(body *pool.Buffer, final bool) {
	if final {
		r.end()
	}
	r.refs.Add(1) // until settled
	if final {
		r.changed()
	}
	r.s.sentOrSlow(r.s.c.sendPart(r, body, final))
	if final {
		r.s.unlink(r)
		r.release()
	}
}

// end comes before the last frame is queued: a client that has it may send the same
// frame again before the call is unlinked, and that is a new one.
func (r *muxCall) end() {
	r.s.mu.Lock()
	r.ending = true
	r.s.mu.Unlock()
}

// Fail implements dispatch.Sink.
func (r *muxCall) Fail(err error) {
	r.end()
	r.s.fail(r.idText(), r.kind, err)
	r.s.unlink(r)
	r.release()
}

// idText is the request's id as the client spelled it.
func (r *muxCall) idText() []byte {
	return r.prefix[len(`{"id":`) : len(r.prefix)-len(`,"response":`)]
}

// appendPayload implements partSource: the reply frame of one part.
func (r *muxCall) appendPayload(dst, part []byte, final bool) []byte {
	dst = append(dst, r.prefix...)
	if part == nil { // a sender's success
		dst = append(dst, "{}"...)
	} else {
		out, _, err := codec.AppendResponse(dst, r.kind, part)
		if err != nil {
			out = appendGatewayError(out, outcomeOf(err).text(err))
		}
		dst = out
	}
	if final {
		return append(dst, `,"complete":true}`...)
	}
	return append(dst, `,"complete":false}`...)
}

// settled implements partSource.
func (r *muxCall) settled(bool) { r.release() }

func appendGatewayError(dst []byte, message string) []byte {
	dst = append(dst, `{"error":{"type":"gateway-error","message":`...)
	return append(codec.AppendQuoted(dst, message), "}}"...)
}
