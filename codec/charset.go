package codec

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"sluice/pool"
)

// charset is how the bytes of a text are to be read.
type charset uint8

const (
	utf8Charset charset = iota
	utf8BOM             // one leading byte order mark is dropped
	asciiCharset
	latin1
	utf16BOM // a leading byte order mark is obeyed and dropped
	utf16LE
	utf16BE
	windows1252
)

// charsets are the names that the contract asks for, after normalCharset.
var charsets = map[string]charset{
	"utf_8": utf8Charset, "utf8": utf8Charset, "u8": utf8Charset, "utf": utf8Charset, "cp65001": utf8Charset,
	"utf_8_sig": utf8BOM,
	"ascii":     asciiCharset, "us_ascii": asciiCharset, "us": asciiCharset, "646": asciiCharset,
	"latin_1": latin1, "latin1": latin1, "latin": latin1, "l1": latin1, "iso_8859_1": latin1,
	"iso8859_1": latin1, "iso8859": latin1, "8859": latin1, "cp819": latin1,
	"utf_16": utf16BOM, "utf16": utf16BOM, "u16": utf16BOM,
	"utf_16_le": utf16LE, "utf_16le": utf16LE,
	"utf_16_be": utf16BE, "utf_16be": utf16BE,
	"cp1252": windows1252, "windows_1252": windows1252, "1252": windows1252,
}

func parseCharset(name []byte) (charset, bool) {
	var buf [32]byte
	cs, ok := charsets[string(normalCharset(buf[:0], name))]
	return cs, ok
}

// normalCharset appends a name in lower case, with one underscore for each run of
// characters that are neither letters, digits nor dots, and none at the ends.
func normalCharset(dst, name []byte) []byte {
	gap := false
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if !isDigit(c) && c-'a' >= 26 && c != '.' {
			gap = true
			continue
		}
		if gap && len(dst) > 0 {
			dst = append(dst, '_')
		}
		dst, gap = append(dst, c), false
	}
	return dst
}

// appendQuoted appends data, read in the charset, as a JSON string. When data is
// not valid in it, ok is false and dst comes back as it was.
func (cs charset) appendQuoted(dst, data []byte) (out []byte, ok bool) {
	switch cs {
	case utf8BOM:
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
		fallthrough
	case utf8Charset:
		if !utf8.Valid(data) {
			return dst, false
		}
		return appendQuoted(dst, data), true
	case asciiCharset:
		if !isASCII(data) {
			return dst, false
		}
		return appendQuoted(dst, data), true
	}
	text := pool.Acquire(2 * len(data))
	defer text.Release()
	switch cs {
	case latin1:
		text.B, ok = appendLatin1(text.B, data), true
	case windows1252:
		text.B, ok = appendWindows1252(text.B, data)
	default:
		text.B, ok = cs.appendUTF16(text.B, data)
	}
	if !ok {
		return dst, false
	}
	return appendQuoted(dst, text.B), true
}

func isASCII(text []byte) bool {
	for len(text) >= 8 {
		if binary.LittleEndian.Uint64(text)&highBits != 0 {
			return false
		}
		text = text[8:]
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendLatin1(dst, data []byte) []byte {
	for _, c := range data {
		dst = utf8.AppendRune(dst, rune(c))
	}
	return dst
}

// windows1252High are the characters from 0x80 to 0x9f; zero is none.
var windows1252High = [32]rune{
	'€', 0, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0, 'Ž', 0,
	0, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0, 'ž', 'Ÿ',
}

func appendWindows1252(dst, data []byte) (text []byte, ok bool) {
	for _, c := range data {
		r := rune(c)
		if c >= 0x80 && c < 0xa0 {
			if r = windows1252High[c-0x80]; r == 0 {
				return dst, false
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

// appendUTF16 refuses an odd number of bytes and unpaired surrogates.
func (cs charset) appendUTF16(dst, data []byte) (text []byte, ok bool) {
	if len(data)%2 != 0 {
		return dst, false
	}
	unit := binary.LittleEndian.Uint16
	if cs == utf16BE {
		unit = binary.BigEndian.Uint16
	}
	if cs == utf16BOM && len(data) > 0 {
		switch mark := binary.BigEndian.Uint16(data); mark {
		case 0xfeff:
			unit, data = binary.BigEndian.Uint16, data[2:]
		case 0xfffe:
			data = data[2:]
		}
	}
	for ; len(data) > 0; data = data[2:] {
		r := rune(unit(data))
		if utf16.IsSurrogate(r) {
			if len(data) < 4 {
				return dst, false
			}
			if r = utf16.DecodeRune(r, rune(unit(data[2:]))); r == utf8.RuneError {
				return dst, false
			}
			data = data[2:]
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}
