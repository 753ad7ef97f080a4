package core

import (
	"errors"
	"io"
)

// readStart is the window that a Reader begins with, in bytes.
const readStart = 64 << 10

// Reader takes a core apart as it arrives. It holds no more than one value. It is
// not safe for concurrent use.
type Reader struct {
	src        io.Reader
	limit      int
	room       func(more int) error
	window     []byte
	start, end int   // what the window holds beyond the values that were returned
	err        error // of the source; what came before it goes first
}

// NewReader returns a Reader of values of at most limit bytes. room is asked before
// the window grows, by more bytes; its error ends the reading. Nil means that there
// is always room.
func NewReader(src io.Reader, limit int, room func(more int) error) *Reader {
	if room == nil {
		room = func(int) error { return nil }
	}
	return &Reader{src: src, limit: limit, room: room}
}

// Next returns the next whole value, which is good until the next call. The error
// is io.EOF behind the last value, ErrTruncated inside one, ErrTooLarge, a
// *FormatError, or the source's own.
func (r *Reader) Next() ([]byte, error) {
	e := newExtent()
	for {
		whole, err := e.advance(r.window[r.start:r.end])
		if err != nil {
			return nil, err
		}
		if e.atLeast() > uint64(r.limit) {
			return nil, ErrTooLarge
		}
		if whole {
			value := r.window[r.start : r.start+int(e.at)]
			r.start += int(e.at)
			return value, nil
		}
		if r.err != nil {
			return nil, r.explain(r.err)
		}
		if err := r.makeRoom(); err != nil {
			return nil, err
		}
		var n int
		n, r.err = r.src.Read(r.window[r.end:])
		r.end += n
	}
}

// explain tells the end of the core from an end inside a value.
func (r *Reader) explain(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case r.start == r.end:
		return io.EOF
	}
	return ErrTruncated
}

// makeRoom leaves space behind what the window holds: by moving it to the front
// when that frees half of the window, else by growing.
func (r *Reader) makeRoom() error {
	if r.end < len(r.window) {
		return nil
	}
	held := r.end - r.start
	target := r.window
	if held > len(r.window)/2 || len(r.window) == 0 {
		size := max(readStart, 2*len(r.window))
		if err := r.room(size - len(r.window)); err != nil {
			return err
		}
		target = make([]byte, size)
	}
	copy(target, r.window[r.start:r.end])
	r.window, r.start, r.end = target, 0, held
	return nil
}
