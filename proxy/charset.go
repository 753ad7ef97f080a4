package proxy

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"sluice/pool"
)

// charset is how the text of a body is encoded. JSON is UTF-8; the contract also
// honours what the Content-Type says.
type charset uint8

const (
	utf8Text charset = iota
	latin1Text
	utf16Text // by its byte order mark, big endian without one
	utf16BE
	utf16LE
)

var charsets = map[string]charset{
	"utf-8": utf8Text, "utf8": utf8Text, "us-ascii": utf8Text, "ascii": utf8Text,
	"iso-8859-1": latin1Text, "latin-1": latin1Text, "latin1": latin1Text,
	"utf-16": utf16Text, "utf-16be": utf16BE, "utf-16le": utf16LE,
}

// charsetOf finds the charset parameter of a Content-Type. Everything else in the
// header is ignored, its absence included.
func charsetOf(contentType []byte) (charset, error) {
	for rest := contentType; ; {
		_, after, found := bytes.Cut(rest, []byte{';'})
		if !found {
			return utf8Text, nil
		}
		rest = after
		param, _, _ := bytes.Cut(after, []byte{';'})
		name, value, _ := bytes.Cut(param, []byte{'='})
		if !equalFold(bytes.TrimSpace(name), "charset") {
			continue
		}
		return charsetNamed(bytes.Trim(bytes.TrimSpace(value), `"'`))
	}
}

func charsetNamed(name []byte) (charset, error) {
	if len(name) == 0 || equalFold(name, "utf-8") {
		return utf8Text, nil
	}
	var lower [16]byte
	if len(name) > len(lower) {
		return utf8Text, errCharset
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	known, ok := charsets[string(lower[:len(name)])]
	if !ok {
		return utf8Text, errCharset
	}
	return known, nil
}

// transcode replaces the body by its text in UTF-8.
func (b *body) transcode(c charset, rules *bodyRules) error {
	from := b.buf
	out := pool.Acquire(2 * len(from.B))
	var ok bool
	if c == latin1Text {
		out.B, ok = appendLatin1(out.B, from.B), true
	} else {
		out.B, ok = appendUTF16(out.B, from.B, c)
	}
	from.Release()
	b.buf = out
	if !ok {
		return errUndecodable
	}
	size := int64(len(out.B))
	if size > rules.max {
		return &tooLargeError{rules.max, size}
	}
	if more := size - b.taken; more > 0 {
		if !rules.budget.take(more) {
			return errBudget
		}
		b.taken = size
	}
	return nil
}

func appendLatin1(dst, src []byte) []byte {
	for _, c := range src {
		dst = utf8.AppendRune(dst, rune(c))
	}
	return dst
}

// appendUTF16 refuses half characters and unpaired surrogates.
func appendUTF16(dst, src []byte, c charset) ([]byte, bool) {
	if len(src)%2 != 0 {
		return dst, false
	}
	big := c != utf16LE
	if c == utf16Text && len(src) >= 2 {
		switch {
		case src[0] == 0xfe && src[1] == 0xff:
			src = src[2:]
		case src[0] == 0xff && src[1] == 0xfe:
			big, src = false, src[2:]
		}
	}
	unit := func(i int) rune {
		if big {
			return rune(src[i])<<8 | rune(src[i+1])
		}
		return rune(src[i+1])<<8 | rune(src[i])
	}
	for i := 0; i < len(src); i += 2 {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			if i+3 >= len(src) {
				return dst, false
			}
			if r = utf16.DecodeRune(r, unit(i+2)); r == utf8.RuneError {
				return dst, false
			}
			i += 2
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}
