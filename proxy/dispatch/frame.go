package dispatch

import (
	"sync"
	"sync/atomic"

	"sluice/pool"
)

// Frame is bytes that many readers share, for instance one exported message on its
// way to many sockets. Nobody may change them. They are on loan from a pool:
// whoever keeps a Frame beyond the call that handed it over calls Retain in that
// call, and Release once when done with it; the bytes are gone after the last one.
// Both may be called from any goroutine.
type Frame struct {
	holders atomic.Int32
	body    *pool.Buffer
}

// frameBytes is the sum of the lengths of all frames that somebody holds.
var frameBytes atomic.Int64

// FrameBytes returns how many bytes all frames of the process have that somebody
// holds, each counted once.
func FrameBytes() int64 { return frameBytes.Load() }

var frames = sync.Pool{New: func() any { return new(Frame) }}

// NewFrame makes a Frame of body, which it owns from then on. The caller holds it:
// it must call Release once.
func NewFrame(body *pool.Buffer) *Frame {
	f := frames.Get().(*Frame)
	f.body = body
	frameBytes.Add(int64(len(body.B)))
	f.holders.Store(1)
	return f
}

// Bytes returns what is in the frame, to be read only, good until the caller's
// Release.
func (f *Frame) Bytes() []byte { return f.body.B }

// Len is the length of Bytes.
func (f *Frame) Len() int { return len(f.body.B) }

// Retain makes the caller one more holder. The caller must hold the frame already,
// or be in the call that handed it over.
func (f *Frame) Retain() {
	if f.holders.Add(1) <= 1 {
		panic("dispatch: Retain of a frame that nobody holds")
	}
}

// Release ends what NewFrame or one Retain began.
func (f *Frame) Release() {
	switch n := f.holders.Add(-1); {
	case n == 0:
		frameBytes.Add(-int64(len(f.body.B)))
		f.body.Release()
		f.body = nil
		frames.Put(f)
	case n < 0:
		panic("dispatch: Release of a frame that nobody holds")
	}
}
