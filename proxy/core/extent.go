package core

import "encoding/binary"

// extent finds the end of a MessagePack value in bytes that arrive bit by bit. It
// goes on where it stopped, and needs no stack however deeply values nest.
type extent struct {
	at   uint64 // how many bytes of the value are understood, or beyond the window
	left uint64 // how many values are still to be seen, this one included
}

func newExtent() extent { return extent{left: 1} }

// advance looks at the value that b begins with and reports whether all of it is
// there.
func (e *extent) advance(b []byte) (whole bool, err error) {
	for e.left > 0 && e.at < uint64(len(b)) {
		size, inner, ok := head(b[e.at:])
		if size == 0 {
			return false, errNoMessagePack
		}
		if !ok {
			return false, nil
		}
		e.at += size
		e.left += inner - 1
	}
	return e.left == 0 && e.at <= uint64(len(b)), nil
}

// atLeast is how long the value is at least.
func (e *extent) atLeast() uint64 { return e.at + e.left }

// skip returns what follows the whole value that b begins with.
func skip(b []byte) ([]byte, error) {
	e := newExtent()
	if whole, err := e.advance(b); err != nil || !whole {
		return nil, errNoMessagePack
	}
	return b[e.at:], nil
}

// head reads how many bytes the value at b[0] takes without the values inside it,
// and how many those are. A size of zero says that there is no such value; ok is
// false when b is too short to tell.
func head(b []byte) (size, inner uint64, ok bool) {
	switch c := b[0]; {
	case c <= 0x7f || c >= 0xe0:
		return 1, 0, true
	case c <= 0x8f:
		return 1, 2 * uint64(c&0x0f), true
	case c <= 0x9f:
		return 1, uint64(c & 0x0f), true
	case c <= 0xbf:
		return 1 + uint64(c&0x1f), 0, true
	default:
		return heads[c-0xc0].read(b)
	}
}

// headRule describes a type byte: width bytes of a big-endian count follow it,
// then plain bytes, and as many bytes or values as the count says.
type headRule struct {
	width, plain, values uint8
	none                 bool // no type at all
}

// heads are the types from 0xc0 to 0xdf.
var heads = [32]headRule{
	{}, {none: true}, {}, {}, // nil, never used, false, true
	{width: 1}, {width: 2}, {width: 4}, // bin
	{width: 1, plain: 1}, {width: 2, plain: 1}, {width: 4, plain: 1}, // ext
	{plain: 4}, {plain: 8}, // float
	{plain: 1}, {plain: 2}, {plain: 4}, {plain: 8}, // uint
	{plain: 1}, {plain: 2}, {plain: 4}, {plain: 8}, // int
	{plain: 2}, {plain: 3}, {plain: 5}, {plain: 9}, {plain: 17}, // fixext
	{width: 1}, {width: 2}, {width: 4}, // str
	{width: 2, values: 1}, {width: 4, values: 1}, // array
	{width: 2, values: 2}, {width: 4, values: 2}, // map
}

func (r *headRule) read(b []byte) (size, inner uint64, ok bool) {
	if r.none {
		return 0, 0, true
	}
	size = 1 + uint64(r.width) + uint64(r.plain)
	if len(b) < 1+int(r.width) {
		return size, 0, false
	}
	var count uint64
	switch r.width {
	case 1:
		count = uint64(b[1])
	case 2:
		count = uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		count = uint64(binary.BigEndian.Uint32(b[1:]))
	}
	if r.values > 0 {
		return size, count * uint64(r.values), true
	}
	return size + count, 0, true
}
