package codec

import (
	"encoding/binary"
	"math/bits"
)

// The functions of this file walk text that scanText has passed. They look for
// structure only and would read nonsense, or panic, on anything else.

const (
	braceOpens  = '{' * everyByte
	braceCloses = '}' * everyByte
	caseBits    = 0x20 * everyByte
)

// endOfString returns the index after the closing quote of the string whose
// opening quote is b[i-1].
func endOfString(b []byte, i int) int {
	for {
		for len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			q, s := w^quotes, w^slashes
			flags := ((q-everyByte)&^q | (s-everyByte)&^s) & highBits
			if flags != 0 {
				i += bits.TrailingZeros64(flags) / 8
				break
			}
			i += 8
		}
		for b[i] != '"' && b[i] != '\\' {
			i++
		}
		if b[i] == '"' {
			return i + 1
		}
		i += 2
	}
}

// endOfValue returns the index after the value that starts at b[i].
func endOfValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return endOfString(b, i+1)
	case '{', '[':
		return endOfContainer(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// endOfContainer returns the index after the array or object that starts at
// b[i]. Brackets and braces need not be told apart: the text is valid.
func endOfContainer(b []byte, i int) int {
	depth := 0
	for {
		i = nextMark(b, i)
		switch b[i] {
		case '"':
			i = endOfString(b, i+1)
			continue
		case '{', '[':
			depth++
		default:
			depth--
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
}

// nextElement returns the index of the next element of an array or the next name
// in an object, or of the bracket that ends it, from the index after a value.
func nextElement(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		return skipSpace(b, i+1)
	}
	return i
}

// nextMark returns the index of the first quote, bracket or brace from i on.
func nextMark(b []byte, i int) int {
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		// A set case bit makes braces of brackets.
		q, o, c := w^quotes, w|caseBits^braceOpens, w|caseBits^braceCloses
		flags := ((q-everyByte)&^q | (o-everyByte)&^o | (c-everyByte)&^c) & highBits
		if flags != 0 {
			return i + bits.TrailingZeros64(flags)/8
		}
		i += 8
	}
	for b[i] != '"' && b[i]|0x20 != '{' && b[i]|0x20 != '}' {
		i++
	}
	return i
}
