package codec

import (
	"bytes"
	"unicode/utf8"
)

// hasEscape reports whether the inside of a raw string holds a backslash.
func hasEscape(inner []byte) bool { return bytes.IndexByte(inner, '\\') >= 0 }

// nextRune returns the first character of the inside of a valid raw string and
// how many bytes spell it. A surrogate is returned as such only when its other
// half is not beside it.
func nextRune(inner []byte) (r rune, size int) {
	if inner[0] != '\\' {
		return utf8.DecodeRune(inner)
	}
	if inner[1] != 'u' {
		return rune(unescaped[inner[1]]), 2
	}
	r = hexRune(inner[2:])
	if r>>10 == 0xd800>>10 && len(inner) >= 12 && inner[6] == '\\' && inner[7] == 'u' {
		if low := hexRune(inner[8:]); low>>10 == 0xdc00>>10 {
			return 0x10000 + (r&0x3ff)<<10 + low&0x3ff, 12
		}
	}
	return r, 6
}

// unescaped maps the letter of a short escape to its character.
var unescaped = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// hexRune reads four hexadecimal digits.
func hexRune(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		if !isDigit(c) {
			c = c&0x0f + 9
		}
		r = r<<4 | rune(c&0x0f)
	}
	return r
}

func isSurrogate(r rune) bool { return r>>11 == 0xd800>>11 }

// appendUnquoted appends the text of a raw string. Halves of surrogate pairs
// become U+FFFD; whole says that there were none.
func appendUnquoted(dst, raw []byte) (text []byte, whole bool) {
	whole = true
	inner := raw[1 : len(raw)-1]
	for {
		plain := bytes.IndexByte(inner, '\\')
		if plain < 0 {
			return append(dst, inner...), whole
		}
		dst = append(dst, inner[:plain]...)
		r, n := nextRune(inner[plain:])
		if isSurrogate(r) {
			whole = false
		}
		dst = utf8.AppendRune(dst, r)
		inner = inner[plain+n:]
	}
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends text as a JSON string literal that is valid whatever the
// text holds: invalid UTF-8 becomes U+FFFD.
func AppendQuoted(dst []byte, text string) []byte { return appendQuoted(dst, text) }

func appendQuoted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
