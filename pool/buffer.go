// Package pool lends byte buffers to the rooms that move messages.
//
// It pools nothing else, and it never keeps a buffer that one large message
// has blown up: what it holds between messages is bounded by the size caps
// below, whatever has passed through.
package pool

import "sync"

const (
	// minBytes is the smallest capacity worth keeping: a smaller one would only
	// make its next borrower grow it.
	minBytes = 1 << 10
	// smallBytes is the largest capacity that the everyday pool keeps.
	smallBytes = 64 << 10
	// largeBytes is the largest capacity that is kept at all.
	largeBytes = 1 << 20
)

// Buffer is a borrowed byte slice. Whoever holds a *Buffer owns B and its
// backing array until Release; a function that takes ownership says so in its
// doc comment. A Buffer is not safe for concurrent use.
type Buffer struct {
	B []byte
}

var (
	small  = sync.Pool{New: func() any { return &Buffer{B: make([]byte, 0, 4<<10)} }}
	large  = sync.Pool{New: func() any { return &Buffer{B: make([]byte, 0, 2*smallBytes)} }}
	shells = sync.Pool{New: func() any { return new(Buffer) }}
)

// Acquire lends an empty buffer that has room for n bytes without growing when
// n is at most 1 MiB; larger ones are allocated as they are written to, so that
// a declared length reserves nothing.
func Acquire(n int) *Buffer {
	if n <= smallBytes {
		return small.Get().(*Buffer)
	}
	return large.Get().(*Buffer)
}

// Wrap makes a Buffer of a slice that the caller owns. On Release the slice is
// recycled like any other.
func Wrap(b []byte) *Buffer {
	buf := shells.Get().(*Buffer)
	buf.B = b
	return buf
}

// Release ends the loan. The caller must not touch b, or any view into b.B,
// afterwards. Releasing nil is a no-op.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	switch c := cap(b.B); {
	case c < minBytes || c > largeBytes:
		b.B = nil
		shells.Put(b)
	case c <= smallBytes:
		b.B = b.B[:0]
		small.Put(b)
	default:
		b.B = b.B[:0]
		large.Put(b)
	}
}
