package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/bus"
)

// queue holds what its consumers have not taken yet.
type queue struct {
	// set once
	name     string // empty for a queue that ends with its only consumer
	limits   limits
	maxBytes int // if positive, the oldest messages make room for new ones

	mu      sync.Mutex
	wake    sync.Cond // consumers wait on it
	ready   list      // by seq
	lastSeq uint64
	owner   *subscription // the consumer of a queue without a name
	room    chan struct{} // closed when a message leaves; nil while nobody waits for that
}

func newQueue(name string, l limits) *queue {
	q := &queue{name: name, limits: l}
	q.wake.L = &q.mu
	return q
}

// push appends d, which the queue then owns, unless there is no room.
func (q *queue) push(d *delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pushLocked(d)
}

func (q *queue) pushLocked(d *delivery) bool {
	if q.maxBytes > 0 {
		q.append(d)
		q.dropHead()
		return true
	}
	if !q.fits(len(d.Body)) {
		q.dropExpired(time.Now())
		if !q.fits(len(d.Body)) {
			return false
		}
	}
	q.append(d)
	return true
}

func (q *queue) append(d *delivery) {
	q.lastSeq++
	d.seq = q.lastSeq
	q.ready.insert(d, q.ready.tail)
	q.wake.Broadcast()
}

// dropHead drops the oldest messages until the rest is within bounds. What its
// consumer may take at once does not count: with the broker that is not in the
// queue. mu is held.
func (q *queue) dropHead() {
	if q.within(q.ready.len, q.ready.bytes) {
		return
	}
	first, messages, bytes := q.ready.head, q.ready.len, q.ready.bytes
	for free := q.owner.free(); free > 0 && first != nil; free-- {
		messages--
		bytes -= len(first.Body)
		first = first.next
	}
	for first != nil && !q.within(messages, bytes) {
		d := first
		first = d.next
		messages--
		bytes -= len(d.Body)
		q.ready.remove(d)
		d.recycle()
		droppedHead.Inc()
	}
}

func (q *queue) within(messages, bytes int) bool {
	return bytes <= q.maxBytes && messages <= q.limits.messages
}

// fits reports whether n more bytes may enter. An empty queue takes anything,
// or a large message could never pass.
func (q *queue) fits(n int) bool {
	return q.ready.len == 0 || (q.ready.len < q.limits.messages && q.ready.bytes+n <= q.limits.bytes)
}

// offer appends a copy of m. When the queue is full it waits for room until ctx
// ends, m expires or done is closed.
func (q *queue) offer(ctx context.Context, m *bus.Message, done <-chan struct{}) error {
	d := newDelivery(q, m)
	if q.push(d) {
		return nil
	}
	err := q.waitForRoom(ctx, d, done)
	if err != nil {
		d.recycle()
	}
	return err
}

func (q *queue) waitForRoom(ctx context.Context, d *delivery, done <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		q.mu.Lock()
		if q.pushLocked(d) {
			q.mu.Unlock()
			return nil
		}
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room, head := q.room, q.ready.head.expires
		q.mu.Unlock()
		if d.expired(time.Now()) {
			return fmt.Errorf("%w: the queue stayed full", bus.ErrBusy)
		}
		timer.Reset(untilFirst(d.expires, head))
		select {
		case <-room:
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: the queue is full: %w", bus.ErrBusy, context.Cause(ctx))
		case <-done:
			return bus.ErrClosed
		}
	}
}

// untilFirst returns the time until the earlier of two moments, of which zero
// ones never come.
func untilFirst(a, b time.Time) time.Duration {
	wait := time.Hour
	for _, t := range [...]time.Time{a, b} {
		if !t.IsZero() {
			wait = min(wait, time.Until(t))
		}
	}
	return wait
}

// next waits for the next delivery for s. Nil means that s has left.
func (q *queue) next(s *subscription) *delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !s.left {
		if s.held.len < s.prefetch {
			if d := q.pop(); d != nil {
				d.holder = s
				s.held.insert(d, s.held.tail)
				return d
			}
		}
		q.wake.Wait()
	}
	return nil
}

// pop takes the first message that has not expired. mu is held.
func (q *queue) pop() *delivery {
	if q.ready.head == nil {
		return nil
	}
	if !q.ready.head.expires.IsZero() {
		q.dropExpired(time.Now())
	}
	d := q.ready.head
	if d != nil {
		q.ready.remove(d)
		q.vacate()
	}
	return d
}

// dropExpired drops the expired messages at the head: like the broker's, the
// queue does not look behind one that is still good. mu is held.
func (q *queue) dropExpired(now time.Time) {
	for d := q.ready.head; d != nil && d.expired(now); d = q.ready.head {
		q.ready.remove(d)
		d.recycle()
		droppedExpired.Inc()
		q.vacate()
	}
}

// vacate tells waiting publishers that a message has left. mu is held.
func (q *queue) vacate() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// settle ends the loan of d, or puts it back.
func (q *queue) settle(d *delivery, requeue bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := d.holder
	if s == nil {
		// Its holder left, and a copy went back to the queue then.
		d.recycle()
		return
	}
	if s.held.len == s.prefetch {
		q.wake.Broadcast()
	}
	s.held.remove(d)
	if !requeue || !s.shared {
		d.recycle()
		return
	}
	d.holder = nil
	q.putBack(d)
}

// putBack returns d to its old place: before everything published after it.
// Limits do not apply, it was in the queue before. mu is held.
func (q *queue) putBack(d *delivery) {
	d.Redelivered = true
	var at *delivery
	for n := q.ready.head; n != nil && n.seq < d.seq; n = n.next {
		at = n
	}
	q.ready.insert(d, at)
	q.wake.Broadcast()
}

// leave ends the consumer s: it gets nothing more, and what it has not settled
// goes back.
func (q *queue) leave(s *subscription) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.left = true
	q.takeBack(s)
	q.wake.Broadcast()
}

// interrupt is what a lost connection does to the consumer s.
func (q *queue) interrupt(s *subscription) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.takeBack(s)
	if q.name != "" {
		return
	}
	// The broker would have deleted such a queue with all that is in it.
	for d := q.ready.head; d != nil; d = q.ready.head {
		q.ready.remove(d)
		d.recycle()
	}
	q.vacate()
}

// takeBack takes from s all it has not settled. The holder may still be reading
// those, so copies go back; the originals end when they are settled. mu is held.
func (q *queue) takeBack(s *subscription) {
	for d := s.held.head; d != nil; d = s.held.head {
		s.held.remove(d)
		d.holder = nil
		if s.shared {
			q.putBack(d.copy())
		}
	}
	q.wake.Broadcast()
}
