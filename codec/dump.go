package codec

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// The dump of a value is its JSON text spelled exactly as the contract's
// reference spells it. Services compare and hash it, so every byte counts: spaces
// after commas and colons, members in the order of the input, ASCII only, floats
// in the reference's notation. It is always the content of a string, hence is
// written escaped for one at once.

// appendDumpText appends the dump of a valid raw value as a JSON string.
func appendDumpText(dst, raw []byte) []byte {
	dst = append(dst, '"')
	dst = appendDump(dst, raw)
	return append(dst, '"')
}

// appendDumpTexts appends an object whose values are the dumps of raw's values.
func appendDumpTexts(dst, raw []byte) ([]byte, *Error) {
	if raw[0] != '{' {
		return dst, wrong(wantObject)
	}
	dst = append(dst, '{')
	var entries entryList
	for _, e := range entries.read(raw) {
		dst = append(append(dst, raw[e.name:e.nameEnd]...), ':')
		dst = append(appendDumpText(dst, raw[e.value:e.valueEnd]), ',')
	}
	entries.release()
	return closeObject(dst), nil
}

func appendDump(dst, raw []byte) []byte {
	switch raw[0] {
	case '"':
		return appendDumpString(dst, raw[1:len(raw)-1])
	case '[':
		return appendDumpArray(dst, raw)
	case '{':
		return appendDumpObject(dst, raw)
	case 't', 'f', 'n':
		return append(dst, raw...)
	}
	return appendDumpNumber(dst, raw)
}

func appendDumpArray(dst, raw []byte) []byte {
	dst = append(dst, '[')
	for i := skipSpace(raw, 1); raw[i] != ']'; {
		end := endOfValue(raw, i)
		dst = appendDump(dst, raw[i:end])
		if i = nextElement(raw, end); raw[i] != ']' {
			dst = append(dst, ", "...)
		}
	}
	return append(dst, ']')
}

func appendDumpObject(dst, raw []byte) []byte {
	dst = append(dst, '{')
	var entries entryList
	for i, e := range entries.read(raw) {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendDumpString(dst, raw[e.name+1:e.nameEnd-1])
		dst = append(dst, ": "...)
		dst = appendDump(dst, raw[e.value:e.valueEnd])
	}
	entries.release()
	return append(dst, '}')
}

// appendDumpString appends a string's dump, quotes included, from the inside of
// its raw form. Each half of a surrogate pair is escaped by itself.
func appendDumpString(dst, inner []byte) []byte {
	dst = append(dst, `\"`...)
	for len(inner) > 0 {
		r, n := nextRune(inner)
		inner = inner[n:]
		switch {
		case r >= ' ' && r <= '~' && r != '"' && r != '\\':
			dst = append(dst, byte(r))
		case r >= 0x10000:
			r -= 0x10000
			dst = appendDumpUnit(dst, 0xd800|r>>10)
			dst = appendDumpUnit(dst, 0xdc00|r&0x3ff)
		case r < utf8.RuneSelf && dumpEscapes[r] != "":
			dst = append(dst, dumpEscapes[r]...)
		default:
			dst = appendDumpUnit(dst, r)
		}
	}
	return append(dst, `\"`...)
}

// dumpEscapes are the short escapes inside a dump, escaped once more.
var dumpEscapes = [utf8.RuneSelf]string{
	'"': `\\\"`, '\\': `\\\\`, '\n': `\\n`, '\r': `\\r`, '\t': `\\t`, '\b': `\\b`, '\f': `\\f`,
}

func appendDumpUnit(dst []byte, r rune) []byte {
	return append(dst, '\\', '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}

func appendDumpNumber(dst, raw []byte) []byte {
	if isInteger(raw) {
		if string(raw) == "-0" {
			raw = raw[1:]
		}
		return append(dst, raw...)
	}
	number, _ := strconv.ParseFloat(string(raw), 64) // the scanner refuses overflows
	return appendFloat(dst, number)
}

// appendFloat appends the shortest text that reads back as the same double, plain
// with at least one decimal for exponents from -4 to 15.
func appendFloat(dst []byte, number float64) []byte {
	if size := math.Abs(number); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.AppendFloat(dst, number, 'e', -1, 64)
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, number, 'f', -1, 64)
	for _, c := range dst[from:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}
