package proxy

import (
	"hash/maphash"

	"sluice/pool"
	"sluice/proxy/auth"
)

// digest stands for the bytes of a frame. Two seeds of this process make it 128
// bits that no client can aim at.
type digest struct {
	a, b uint64
	size int
}

var seedA, seedB = maphash.MakeSeed(), maphash.MakeSeed()

func digestOf(b []byte) digest {
	return digest{maphash.Bytes(seedA, b), maphash.Bytes(seedB, b), len(b)}
}

// waiter is a frame that waits for its turn.
type waiter struct {
	msg *pool.Buffer
	sum digest
	// who sent it; nil for a stranger.
	who *auth.Identity
	// unsure is the number of the attempt to authenticate that was the latest when
	// it came: it belongs to whoever that makes of the client. 0: who is known.
	unsure uint64
}

// requestState is the requests of a session. It is guarded by its mu.
type requestState struct {
	first, last *muxCall // those that have been sent
	running     int      // with those that are about to be
	line        []waiter
	head        int // of line
	lineBytes   int64
	pumping     bool // a goroutine starts what waits
}

func (r *requestState) waiting() int { return len(r.line) - r.head }

// mustWait reports whether a new request cannot start now. The caller holds mu.
func (s *session) mustWait() bool {
	r := &s.requests
	return r.running >= maxRunning || r.waiting() > 0 || r.pumping || s.identity.busy()
}

// waitInLine queues a frame, or lets it join an equal one in the line. It takes in
// unless it returns false. The caller holds mu.
func (s *session) waitInLine(in *inbound) bool {
	r := &s.requests
	w := waiter{msg: in.msg, sum: digestOf(in.msg.B), who: s.identity.who}
	if s.identity.busy() {
		w.unsure = s.identity.count
	}
	for k := r.head; k < len(r.line); k++ {
		if l := &r.line[k]; l.sum == w.sum && l.unsure == w.unsure && same(l.who, w.who) {
			in.release()
			return true
		}
	}
	size := int64(cap(w.msg.B))
	if r.waiting() >= maxWaiting || r.lineBytes+int64(w.sum.size) > maxWaitingBytes || !s.c.sockets.inbound.take(size) {
		return false
	}
	r.line = append(r.line, w)
	r.lineBytes += int64(w.sum.size)
	in.msg = nil
	in.release()
	s.kick()
	return true
}

// settle tells the frames that came before the outcome of an attempt whose they
// are. The caller holds mu.
func (r *requestState) settle(number uint64, who *auth.Identity) {
	for k := r.head; k < len(r.line); k++ {
		if w := &r.line[k]; w.unsure != 0 && w.unsure <= number {
			w.unsure, w.who = 0, who
		}
	}
}

// next takes the first frame out of the line. The caller holds mu.
func (r *requestState) next(s *session) waiter {
	w := r.line[r.head]
	r.line[r.head] = waiter{}
	r.head++
	r.lineBytes -= int64(w.sum.size)
	s.c.sockets.inbound.give(int64(cap(w.msg.B)))
	if r.head == len(r.line) {
		r.line, r.head = nil, 0
	} else if r.head >= maxWaiting {
		r.line = append([]waiter(nil), r.line[r.head:]...)
		r.head = 0
	}
	return w
}

// kick starts what waits, on a goroutine of its own, when something may start.
// The caller holds mu.
func (s *session) kick() {
	if !s.requests.pumping && s.mayPump() {
		s.requests.pumping = true
		s.server.streams.Go(s.pump)
	}
}

func (s *session) mayPump() bool {
	r := &s.requests
	return r.waiting() > 0 && !s.ended && r.line[r.head].unsure == 0 && (r.running < maxRunning || s.draining)
}

// pump starts what waits, in order, until nothing may start.
func (s *session) pump() {
	defer s.c.contain("queue")
	for {
		s.mu.Lock()
		if !s.mayPump() {
			s.requests.pumping = false
			over := s.overNow()
			s.mu.Unlock()
			s.finishUp(over)
			return
		}
		w := s.requests.next(s)
		s.requests.running++
		who := w.who
		if s.identity.revoked || expired(who, s.c.sockets.now.Load()) {
			who = nil
		}
		refused := s.draining
		s.mu.Unlock()
		s.resume(w.msg, who, refused)
	}
}

// resume goes on with a frame that has waited. It was parsed before it did.
func (s *session) resume(msg *pool.Buffer, who *auth.Identity, refused bool) {
	in := newInbound(msg)
	if err := in.frame.Parse(msg.B); err != nil || refused {
		s.unreserve()
		s.refuse(in.frame.ID().Raw, "unavailable", reasonShutdown)
		in.release()
		return
	}
	s.start(in, who)
}

// unreserve gives back the place of a request that does not start after all.
func (s *session) unreserve() {
	s.mu.Lock()
	if !s.ended {
		s.requests.running--
	}
	s.kick()
	over := s.overNow()
	s.mu.Unlock()
	s.finishUp(over)
}

// same reports whether two identities are the same caller.
func same(a, b *auth.Identity) bool {
	return a == b || a != nil && b != nil && a.UserID == b.UserID && a.Workspace == b.Workspace
}

// cancelAll ends everything that is under way, once: nobody will hear the answers.
func (s *session) cancelAll() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if s.gone != nil {
		close(s.gone)
	}
	r := &s.requests
	first := r.first
	for q := first; q != nil; q = q.next {
		q.cancelled, q.linked = true, false
		q.refs.Add(1) // its last part may come at any time
	}
	r.first, r.last, r.running = nil, nil, 0
	for r.waiting() > 0 {
		w := r.next(s)
		w.msg.Release()
	}
	s.mu.Unlock()
	for q := first; q != nil; {
		next := q.next
		q.next, q.prev = nil, nil
		q.cancel()
		q.release()
		q = next
	}
}
