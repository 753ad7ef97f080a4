package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight bytes are looked at together: an operation on a word acts on all of its
// bytes, and the highest bit of each byte carries the answer. Borrows may only
// spoil bytes above one that is flagged already, so the lowest flag is exact.
const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
	quotes    = '"' * everyByte
	slashes   = '\\' * everyByte
	spaces    = ' ' * everyByte
	zeros     = '0' * everyByte
)

// plainRun returns the index of the first byte from i on that needs attention
// inside a string: a quote, a backslash, a control character, not ASCII.
func plainRun(b []byte, i int) int {
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		flags := ((w - spaces) | ((w ^ quotes) - everyByte) | ((w ^ slashes) - everyByte) | w) & highBits
		if flags != 0 {
			return i + bits.TrailingZeros64(flags)/8
		}
		i += 8
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// scanString validates a string whose opening quote is b[i-1]. It returns the
// index after the closing quote, or a fault and where it is.
func scanString(b []byte, i int) (int, fault) {
	for {
		i = plainRun(b, i)
		if i >= len(b) {
			return i, faultUnterminated
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, sound
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return i, faultEscape
			}
			i += n
		case c < ' ':
			return i, faultControl
		default:
			for i < len(b) && b[i] >= utf8.RuneSelf {
				n := runeLen(b[i:])
				if n == 0 {
					return i, faultUTF8
				}
				i += n
			}
		}
	}
}

// escapeLen returns the length of the escape that b starts with, or 0 when it is
// none. Halves of surrogate pairs count as escapes of their own.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }

// runeLen returns the length of the character of two to four bytes that b
// starts with, or 0 when it is not valid UTF-8.
func runeLen(b []byte) int {
	if len(b) >= 3 && b[0]&0xf0 == 0xe0 && b[1]&0xc0 == 0x80 && b[2]&0xc0 == 0x80 {
		// Most of the world's text: three bytes, neither overlong nor a surrogate.
		r := rune(b[0]&0xf)<<12 | rune(b[1]&0x3f)<<6
		if r >= 0x800 && r&0xf800 != 0xd800 {
			return 3
		}
		return 0
	}
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n < 2 {
		return 0
	}
	return n
}

// skipDigits returns the index of the first byte from i on that is no digit.
func skipDigits(b []byte, i int) int {
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:]) ^ zeros
		flags := ((w + 0x76*everyByte) | w) & highBits
		if flags != 0 {
			return i + bits.TrailingZeros64(flags)/8
		}
		i += 8
	}
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}
