package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Window bounds the messages that are on their way and not settled, by number and
// by bytes. Whoever finds no room waits in turn. An implementation of Bus uses it
// for PublishAsync. Make it with NewWindow; all methods may be called concurrently.
// Taking and giving back allocate nothing in the steady state.
type Window struct {
	// set once
	maxMessages int
	maxBytes    int

	mu          sync.Mutex
	messages    int // taken
	bytes       int // taken
	closed      Closure
	first, last *turn // who waits
	spare       *turn // for who comes next, linked by next
}

// Closure is a set of reasons why a Window lets nobody in.
type Closure uint8

// Reasons to close a Window.
const (
	// Blocked: the broker asked publishers to wait.
	Blocked Closure = 1 << iota
	// Down: what carries the messages is being replaced.
	Down
)

// turn is a place in the line of those who wait for room.
type turn struct {
	bytes   int
	granted chan struct{} // buffered: gets one when there is room

	// guarded by Window.mu
	prev, next *turn
}

// errWindow is the cause of ErrBusy when nothing got room in time.
var errWindow = errors.New("too many messages await their confirmation")

// NewWindow returns an open window of that many messages and bytes, both at least
// one.
func NewWindow(messages, bytes int) *Window {
	return &Window{maxMessages: max(messages, 1), maxBytes: max(bytes, 1)}
}

// Take waits for room for a message of n bytes until ctx ends, which is ErrBusy,
// or gone is closed, which is ErrUnavailable. A message of any size gets in when
// it is alone. What was taken must be given back.
func (w *Window) Take(ctx context.Context, n int, gone <-chan struct{}) error {
	n = w.Cost(n)
	w.mu.Lock()
	if w.first == nil && w.fits(n) {
		w.take(n)
		w.mu.Unlock()
		return nil
	}
	t := w.enter(n)
	w.mu.Unlock()
	err := t.wait(ctx, gone)
	w.leave(t, err != nil)
	return err
}

func (t *turn) wait(ctx context.Context, gone <-chan struct{}) error {
	select {
	case <-t.granted:
		return nil
	case <-gone:
		return fmt.Errorf("%w: connection lost", ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w: %w", ErrBusy, errWindow, context.Cause(ctx))
	}
}

// enter puts somebody at the end of the line. Needs mu.
func (w *Window) enter(n int) *turn {
	t := w.spare
	if t == nil {
		t = &turn{granted: make(chan struct{}, 1)}
	} else {
		w.spare, t.next = t.next, nil
	}
	t.bytes = n
	w.append(t)
	return t
}

// leave ends the wait of t, which may have got room in the moment it gave up.
func (w *Window) leave(t *turn, gaveUp bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if gaveUp {
		select {
		case <-t.granted:
			w.messages--
			w.bytes -= t.bytes
		default:
			w.remove(t)
		}
		w.admit() // it may have stood in the way of smaller ones
	}
	w.spare, t.next = t, w.spare
}

// Cost is what a message of n bytes takes of the window: at least one byte, so that
// whoever takes all of it is alone.
func (w *Window) Cost(n int) int { return max(1, min(n, w.maxBytes)) }

// Give gives back what messages took: their number and the sum of their costs.
func (w *Window) Give(messages, bytes int) {
	w.mu.Lock()
	w.messages -= messages
	w.bytes -= bytes
	w.admit()
	w.mu.Unlock()
}

// Close lets nobody in until the same reason is taken away by Open.
func (w *Window) Close(why Closure) {
	w.mu.Lock()
	w.closed |= why
	w.mu.Unlock()
}

// Open takes a reason of Close away.
func (w *Window) Open(why Closure) {
	w.mu.Lock()
	w.closed &^= why
	w.admit()
	w.mu.Unlock()
}

// Taken returns how many messages have room now.
func (w *Window) Taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages
}

// fits reports whether a message of n bytes may enter. Needs mu.
func (w *Window) fits(n int) bool {
	return w.closed == 0 && (w.messages == 0 || w.messages < w.maxMessages && w.bytes+n <= w.maxBytes)
}

func (w *Window) take(n int) {
	w.messages++
	w.bytes += n
}

// admit lets in who is next, as far as there is room. Needs mu.
func (w *Window) admit() {
	for t := w.first; t != nil && w.fits(t.bytes); t = w.first {
		w.remove(t)
		w.take(t.bytes)
		t.granted <- struct{}{}
	}
}

func (w *Window) append(t *turn) {
	t.prev = w.last
	if w.last == nil {
		w.first = t
	} else {
		w.last.next = t
	}
	w.last = t
}

func (w *Window) remove(t *turn) {
	if t.prev == nil {
		w.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		w.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}
